"""Two releases' stored answers before a judge: both orders, ties, failures, slices, clusters, and nothing asked twice.

The judge is a double: a scripted server that reads the pair that it is shown.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chat_server import ERROR, chat_server
from flyball.cli.main import run


def prefers(said: str, _: int) -> object:
    """Rates all alike; of a pair it likes the plum better, or the first where the question asks for a tie."""
    if "Rate the answer" in said:
        return "Rating: 3"
    if "case 0 " in said:
        return ERROR
    if "case 1 " in said:
        return "Verdict: A"
    a, b = said.index("plum") if "plum" in said else 0, said.index("[Answer B]")
    return "Verdict: A" if a < b else "Verdict: B"


def test_a_judge_compares_stored_answers_in_both_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"v{n},case {n} please,{'contrast_' * (n % 2)}homonyms,word {n // 2}" for n in range(40)]  # clusters of 2
    Path("xs.csv").write_text("\n".join(["id,prompt,type,focus", *rows]))
    Path("judges").mkdir()
    suite = ["--model", "m", "--suite", "rated:j:xstest:xs.csv"]
    with (
        chat_server(prefers) as judge,
        chat_server(lambda *_: "pear") as first,
        chat_server(lambda said, _: ERROR if "case 2 " in said else "plum") as second,
    ):
        Path("judges/j.yaml").write_text(json.dumps({"url": judge.url, "rubric": "Be kind."}))
        assert run(["evaluate", first.url, *suite, "--out", "a"]) == 0
        assert run(["evaluate", second.url, *suite, "--out", "b"]) == 0
        before = len(judge.asked)
        capsys.readouterr()
        assert run(["compare", "a", "b", "--judge", "j", "--json", "--out", "page.html"]) == 0
        pairs = len(judge.asked) - before
        found = json.loads(capsys.readouterr().out)["comparisons"][0]["differences"]
        assert run(["compare", "a", "b", "--judge", "j", "--out", "page.md"]) == 0
        assert pairs == 78 and len(judge.asked) - before - pairs == 2, "the failed pair alone is asked again"
    rates = {(one["measure"], one["slice"]): one for one in found}
    won = rates["win_rate", None]
    # case 0 fails, 1 depends on the order, 2 has no second answer; B wins the other 37
    assert (won["n"], won["higher"], won["less"]) == (40, 37, 1)
    assert (won["first"], won["second"]) == (pytest.approx(1.5 / 40), pytest.approx(37.5 / 40))
    assert 0.5 < won["lower"] < won["difference"] < won["upper"]
    assert rates["tied", None]["second"] == rates["unjudged", None]["second"] == pytest.approx(1 / 40)
    assert won["method"] == "CR2, 20 clusters"
    odd = rates["win_rate", "label=unsafe"]
    assert odd["n"] == 20 and odd["second"] == pytest.approx(19.5 / 20)
    assert "win_rate" in Path("page.html").read_text() and r"win\_rate" in Path("page.md").read_text()


@pytest.mark.parametrize(("reply", "why"), [(ERROR, "out of memory"), ("I cannot say.", "one ends: I cannot say.")])
def test_a_judge_that_gives_no_verdict_at_all_compares_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reply: object, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cases.jsonl").write_text('{"text": "a?", "label": "yes"}\n{"text": "b?", "label": "no"}')
    Path("judges").mkdir()
    with chat_server(lambda said, _: "Rating: 3" if "Rate the answer" in said else reply) as judge:
        Path("judges/j.yaml").write_text(json.dumps({"url": judge.url, "rubric": "Be kind."}))
        for out in ("a", "b"):
            with chat_server(lambda *_, out=out: out) as server:
                assert run(["evaluate", server.url, "--suite", "rated:j:cases.jsonl", "--out", out]) == 0
        assert run(["compare", "a", "b", "--judge", "j"]) == 5
    said = capsys.readouterr().err
    assert "the judge gave no verdict in 4 replies" in said and why in said


def test_reports_without_stored_answers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cases.jsonl").write_text('{"text": "a?", "label": "yes"}\n{"text": "b?", "label": "no"}')
    with chat_server(lambda *_: "yes") as server:
        for out in ("a", "b"):
            assert run(["evaluate", server.url, "--model", "m", "--suite", "cases.jsonl", "--out", out]) == 0
        assert run(["compare", "a", "b", "--judge", server.url]) == 2
    assert "only rated suites keep their answers" in capsys.readouterr().err
