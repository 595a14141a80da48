"""Evaluations and gates alone, without a project, against any OpenAI-compatible server."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from chat_server import ERROR, Limited, chat_server
from refusals import contents, refused
from small_shop import FLYBALL, eventually, flyball

GATE = "alpha: 0.05\nrules:\n  - {suite: cases, measure: exact_match, at_least: 0.8}\n"


def cases(folder: Path, n: int = 60) -> Path:
    path = folder / "cases.jsonl"
    rows = [{"text": f"question {i}", "label": "yes" if i % 2 else "no"} for i in range(n)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "gate.yaml").write_text(GATE)
    return path


def right(text: str) -> str:
    return "yes" if int(text.split()[-1]) % 2 else "no"


@pytest.mark.parametrize(("verdict", "code", "wrong_each"), [("pass", 0, 0), ("fail", 3, 2), ("inconclusive", 6, 5)])
def test_the_gates_alone_exit_with_their_verdict(tmp_path: Path, verdict: str, code: int, wrong_each: int) -> None:
    cases(tmp_path)
    arguments = ["--suite", "cases.jsonl", "--gate", "gate.yaml", "--out", "report", "--json"]
    with chat_server(lambda text, n: "maybe" if wrong_each and n % wrong_each == 0 else right(text)) as server:
        result = flyball("evaluate", server.url, *arguments, cwd=tmp_path)
    assert result.code == code, result.err
    document = result.json
    assert document["gate"]["content"]["verdict"] == verdict
    measure = next(m for m in document["evaluation"]["content"]["measures"] if m["name"] == "exact_match")
    assert measure["n"] == 60 and measure["lower"] <= measure["value"] <= measure["upper"]
    assert {"report.json", "report.html", "junit.xml", "items.jsonl"} <= set(contents(tmp_path / "report"))
    assert verdict in (tmp_path / "report/report.html").read_text()


def test_a_gate_file_that_names_no_suite_decides_about_the_suites_that_are_given(tmp_path: Path) -> None:
    cases(tmp_path)
    (tmp_path / "gate.yaml").write_text("rules: [{measure: exact_match, at_least: 0.8}]\n")
    with chat_server(lambda text, n: right(text)) as server:
        good = flyball("evaluate", server.url, "--suite", "cases.jsonl", "--gate", "gate.yaml", cwd=tmp_path)
    assert good.code == 0 and "cases.exact_match" in good.out and "pass" in good.out
    with chat_server(lambda text, n: "no idea") as server:
        bad = flyball("evaluate", server.url, "--suite", "cases.jsonl", "--gate", "gate.yaml", cwd=tmp_path)
    assert bad.code == 3


def test_low_scores_that_come_from_how_a_server_was_asked_are_explained(tmp_path: Path) -> None:
    cases(tmp_path)

    def answer(text: str, _: int) -> str:
        n, said = int(text.split()[-1]), right(text)
        if n < 20:
            return Limited(said if n < 10 else "The answer to this")
        if n < 30:
            return ""
        return f"<think>Let me see.</think>\n{said}" if n < 45 else said

    with chat_server(answer) as server:
        found = flyball("evaluate", server.url, "--suite", "cases.jsonl", "--out", "report", cwd=tmp_path)
    assert found.code == 0
    assert "the answers to 10 of 60 cases end at the token limit" in found.out + found.err, (
        "the ten right ones lost nothing"
    )
    assert "the answers to 10 of 60 cases are empty" in found.out + found.err
    assert "the answers to 15 of 60 cases hold the model's reasoning (</think>)" in found.out + found.err


def test_a_gate_rule_on_a_slice_that_no_case_is_in_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    rows = [{"text": f"question {n}", "label": "ab"[n % 2], "groups": {"sex": "fm"[n % 2]}} for n in range(40)]
    rows = [row | {"favourable": "a"} for row in rows]
    (tmp_path / "loans.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rule = "rules: [{{suite: groups-loans, measure: {}, slice: {}, at_most: 0.9}}]"
    ask = ("--suite", "groups:loans.jsonl", "--gate", "gate.yaml")
    with chat_server(lambda *_: "a") as server:
        for measure, part, code in (
            ("accuracy", "sex=f", 0),
            ("statistical_parity_difference", "sex", 0),
            ("accuracy", "sexe=f", 2),
            ("accuracy", "language=de", 2),
        ):
            (tmp_path / "gate.yaml").write_text(rule.format(measure, part))
            before = len(server.asked)
            result = flyball("evaluate", server.url, *ask, cwd=tmp_path)
            assert (result.code == 2) == (code == 2), result.err
            assert code == 0 or (f"no case of groups-loans is in the slice '{part}'" in result.err)
            assert (len(server.asked) > before) == (code == 0)
            assert part != "sexe=f" or "did you mean sex=f?" in result.err


def test_a_server_that_refuses_a_field_is_told_how_to_go_without(tmp_path: Path) -> None:
    cases(tmp_path, 6)
    message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'."
    with chat_server(lambda *_: (400, message)) as server:
        result = flyball("evaluate", server.url, "--suite", "cases.jsonl", cwd=tmp_path)
    assert result.code == 5 and "--max-tokens none" in result.err and "--seed" not in result.err


def test_a_server_is_asked_greedily_unless_told_otherwise_and_the_report_says_how(tmp_path: Path) -> None:
    (tmp_path / "faq.csv").write_text("Frage,Antwort\n" + "".join(f"question {k},{k % 2}\n" for k in range(20)))
    named = ("--suite", "faq.csv", "--text", "Frage", "--label", "Antwort", "--out", "report", "--json")
    with chat_server(lambda text, n: str(int(text.split()[-1]) % 2) if n != 9 else (400, "no")) as server:
        found = flyball("evaluate", server.url, *named, cwd=tmp_path).json
        assert {(body["temperature"], body["seed"], body["max_tokens"]) for body in server.bodies} == {(0, 1, 512)}
        assert found["conditions"] == {
            "model": "default",
            "temperature": 0,
            "seed": 1,
            "max_tokens": 512,
            "concurrency": 4,
        }
        assert found["cases"] == [
            {"suite": "faq", "right": 19, "wrong": 0, "refused": 1, "failed": 0, "not_asked": 0, "cut": 0},
        ]
        server.bodies.clear()
        warm = ("--temperature", "0.7", "--seed", "none", "--max-tokens", "none", "--concurrency", "1")
        other = flyball("evaluate", server.url, *named, *warm, cwd=tmp_path).json
        assert all(body["temperature"] == 0.7 and "seed" not in body for body in server.bodies)
    assert other["conditions"] == {"model": "default", "temperature": 0.7, "concurrency": 1}
    assert found["evaluation"]["content"]["release"] != other["evaluation"]["content"]["release"]


def test_without_a_gate_an_evaluation_ends_with_0_and_shows_intervals(tmp_path: Path) -> None:
    cases(tmp_path, 20)
    with chat_server(lambda text, n: right(text)) as server:
        result = flyball("evaluate", server.url, "--suite", "cases.jsonl", "--out", "report", cwd=tmp_path)
    assert result.code == 0 and "exact_match" in result.out and "LOWER" in result.out


@pytest.mark.parametrize("how", ["dead", "failing"])
def test_without_a_gate_a_server_that_answers_no_case_ends_with_5_and_the_reason(tmp_path: Path, how: str) -> None:
    cases(tmp_path, 5)
    with chat_server(lambda text, n: ERROR) as server:
        url = server.url if how == "failing" else "http://127.0.0.1:9/v1"
        result = flyball("evaluate", url, "--suite", "cases.jsonl", "--out", "report", cwd=tmp_path)
    assert result.code == 5 and "none of 5 cases was answered" in result.err and "→" in result.err


def test_a_model_that_the_server_does_not_know_is_told_with_those_that_it_does(tmp_path: Path) -> None:
    cases(tmp_path, 5)
    with chat_server(lambda text, n: (404, "no such model")) as server:
        result = flyball("evaluate", server.url, "--suite", "cases.jsonl", "--json", cwd=tmp_path)
    assert result.code == 5 and "--model anything" in result.json["error"]["cure"]


def test_a_server_that_fails_or_is_not_there_passes_no_gate(tmp_path: Path) -> None:
    cases(tmp_path)
    arguments = ["--suite", "cases.jsonl", "--gate", "gate.yaml", "--json"]
    with chat_server(lambda text, n: ERROR) as server:
        failed = flyball("evaluate", server.url, *arguments, cwd=tmp_path)
    assert failed.code == 3 and failed.json["evaluation"]["content"]["failures"] == 60, "failures count as failures"
    gone = flyball("evaluate", "http://127.0.0.1:9/v1", *arguments, cwd=tmp_path)
    assert gone.code in (3, 5) and "Traceback" not in gone.err


BAD_FILES = {
    "no gate file": ("no.yaml", "cases.jsonl", 4, "no.yaml"),
    "a gate without rules": ("empty.yaml", "cases.jsonl", 2, "holds no rules"),
    "an unknown key": ("typo.yaml", "cases.jsonl", 2, "did you mean at_least?"),
    "a rule with two comparisons": ("two.yaml", "cases.jsonl", 2, "exactly one"),
    "no suite file": ("gate.yaml", "no.jsonl", 4, "no.jsonl"),
    "an empty suite": ("gate.yaml", "empty.jsonl", 2, "empty.jsonl"),
    "a suite that is no JSON": ("gate.yaml", "broken.jsonl", 2, "broken.jsonl"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_wrong_files_are_named_before_anything_is_asked_for(case: str, tmp_path: Path) -> None:
    cases(tmp_path)
    (tmp_path / "empty.yaml").write_text("alpha: 0.05\n")
    (tmp_path / "typo.yaml").write_text("rules: [{measure: exact_match, atleast: 0.8}]\n")
    (tmp_path / "two.yaml").write_text("rules: [{measure: exact_match, at_least: 0.8, at_most: 1}]\n")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.jsonl").write_text("{\n")
    gate, suite, code, cause = BAD_FILES[case]
    with chat_server(lambda text, n: "yes") as server:
        said = refused("evaluate", server.url, "--suite", suite, "--gate", gate, cwd=tmp_path, code=code)
        assert cause in said and server.asked == []


def test_an_interrupted_evaluation_says_so_and_leaves_no_report_that_looks_whole(tmp_path: Path) -> None:
    cases(tmp_path)
    with chat_server(lambda text, n: time.sleep(0.2) or right(text)) as server:
        process = subprocess.Popen(
            [*FLYBALL, "evaluate", server.url, "--suite", "cases.jsonl", "--out", "report", "--json"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        eventually(lambda: len(server.asked) > 5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 130 and json.loads(out)["error"]["code"] == "interrupted"
    assert "Traceback" not in err and not (tmp_path / "report/report.json").exists()
