"""An evaluation, end to end: rows in a dataset folder, an endpoint, and a report with its evidence."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from chat_server import ERROR, chat_server
from flyball.errors import CorruptionError, NotFoundError
from flyball.evaluation.config import EvaluateConfig
from flyball.evaluation.evaluation_run import evaluate
from flyball.evaluation.item_scores import items_hash, read_items
from flyball.evaluation.reports.files import junit, metrics_of, read_report, write_report
from flyball.evaluation.url_evaluation import evaluate_url, stand_in
from flyball.inference.completions import HttpCompleter
from flyball.records import Check, Constraint, EvalReport, GateDecision, Preparation, canonical_bytes, name_of, parse
from flyball.serving.engine_processes import engine_process
from flyball.statistics.classification import f1_by_label, macro_f1, macro_f1_replicates, percentile_interval
from flyball.statistics.intervals import clopper_pearson
from held_out_rows import write_test_split
from tiny_gguf import tiny_release, write_tiny_gguf

LABELS = ("card_lost", "refund", "where_is_it")
ROWS = [(f"ticket number {k} about {LABELS[k % 3]}", LABELS[k % 3]) for k in range(60)]
RELEASE = tiny_release()


def label_in(text: str) -> str:
    return next((label for label in LABELS if label in text.lower()), "none of these")


def run(tmp_path: Path, behave: object, suites: tuple[str, ...] = ("test", "invariance")) -> tuple[EvalReport, Path]:
    folder, out = write_test_split(tmp_path / "dataset", [*ROWS]), tmp_path / "evaluation"
    with chat_server(behave) as server:  # type: ignore[arg-type]
        report = evaluate(
            EvaluateConfig(suites=suites),
            project="shop",
            task="classification",
            release=RELEASE,
            release_name=name_of(RELEASE),
            dataset=None,
            dataset_dir=folder,
            root=tmp_path,
            completer=HttpCompleter(server.url, release=None, model="m", api_key=None, timeout_s=5.0),
            engine="test server",
            out=out,
        )
    return report, out


def value(report: EvalReport, suite: str, name: str, part: str | None = None) -> float:
    return next(m.value for m in report.measures if (m.suite, m.name, m.slice) == (suite, name, part))


def test_a_report_holds_measures_with_intervals_and_its_items_are_its_evidence(tmp_path: Path) -> None:
    report, out = run(
        tmp_path, lambda text, _: "refund" if text.endswith("card_lost") and "3" in text else label_in(text)
    )
    assert parse(canonical_bytes(report), EvalReport) == report
    wrong = sum("3" in text for text, label in ROWS if label == "card_lost")
    exact = next(m for m in report.measures if m.name == "exact_match")
    assert (exact.successes, exact.n) == (60 - wrong, 60)
    assert (exact.lower, exact.upper) == clopper_pearson(60 - wrong, 60)
    assert value(report, "test", "recall", "card_lost") == pytest.approx(1 - wrong / 20)
    assert value(report, "test", "macro_f1") < 1.0
    assert {m.name for m in report.measures} >= {"accuracy", "invariance", "latency_p50_ms", "latency_p99_ms"}
    assert items_hash(read_items(out / "items.jsonl")) == report.items_hash
    details = read_report(out / "report.json").details
    assert [(one.label, one.answer) for one in details.label_examples] == [("card_lost", "refund")] * 3
    assert all("3" in one.text and one.item for one in details.label_examples)
    assert "Wrong answers of the worst labels" in (out / "report.html").read_text()
    pages = {"report.json", "report.html", "report.md", "junit.xml"}
    assert {path.name for path in out.iterdir()} == {"items.jsonl", *pages}


def test_a_case_that_fails_stays_in_the_denominator(tmp_path: Path) -> None:
    report, out = run(tmp_path, lambda text, _: ERROR if "number 7 " in text else label_in(text), ("test",))
    assert (value(report, "test", "exact_match"), report.failures) == (59 / 60, 1)
    failed = [score for score in read_items(out / "items.jsonl") if score.error]
    assert {score.measure: score.score for score in failed if score.measure != "latency_ms"} == {
        "exact_match": 0.0,
        "accuracy": 0.0,
    }
    assert read_report(out / "report.json").details.errors


def test_errors_are_told_apart_from_wrong_answers_in_every_file_with_their_share_and_bounds(tmp_path: Path) -> None:
    def behave(text: str, _: int) -> object:
        if "number 7 " in text:
            return 400, "too long \x1b for ann@example.org"
        return ERROR if "number 8 " in text else "refund" if "number 9 " in text else label_in(text)

    report, out = run(tmp_path, behave, ("test",))
    errors = next(m for m in report.measures if m.name == "errors")
    assert (errors.successes, errors.n, (errors.lower, errors.upper)) == (2, 60, clopper_pearson(2, 60))
    details = read_report(out / "report.json").details
    cases = details.outcomes[0]
    assert (cases.right, cases.wrong, cases.refused, cases.failed, cases.not_asked) == (57, 1, 1, 1, 0)
    assert [confusion.count for confusion in details.confusions] == [1], "an error is no confusion"
    assert [bool(example.error) for example in details.examples] == [False, True, True]
    tree = ElementTree.fromstring((out / "junit.xml").read_bytes())
    named = {found.get("name"): found.get("value") for found in tree.iter("property")}
    assert (named["cases.wrong"], named["cases.errors"], named["cases.refused"]) == ("1", "2", "1")
    said = tree.findtext(".//testcase[@name='errors']/system-out") or ""
    assert "1 × " in said and "400" in said and "ann@example.org" not in said
    page = (out / "report.html").read_text()
    assert "2 cases without an answer" in page and "Refused" in page


def test_invariance_is_the_share_of_answers_that_did_not_change(tmp_path: Path) -> None:
    report, _ = run(tmp_path, lambda text, _: "refund" if text.startswith("ticket") else "card_lost", ("invariance",))
    changed = [m for m in report.measures if m.name == "invariance" and m.slice == "greeting"]
    assert changed and changed[0].value == 0.0  # a greeting moves the first word
    assert value(report, "invariance", "invariance", "punctuation") == 1.0


def test_questions_that_two_suites_share_are_asked_once(tmp_path: Path) -> None:
    asked: Counter[str] = Counter()
    run(tmp_path, lambda text, _: asked.update([text]) or label_in(text))
    assert set(asked.values()) == {1} and {text for text, _ in ROWS} < set(asked)


def test_accuracy_forgives_form_and_exact_match_does_not(tmp_path: Path) -> None:
    report, _ = run(tmp_path, lambda text, _: f'"{label_in(text).upper()}".', ("test",))
    assert (value(report, "test", "accuracy"), value(report, "test", "exact_match")) == (1.0, 0.0)


def test_the_page_stands_alone_and_shows_hostile_and_personal_text_harmlessly(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text('{"text": "<script>alert(1)</script> mail ann@example.org", "label": "a"}\n' * 1)
    with chat_server(lambda text, _: "<img src=x onerror=alert(1)> bob@example.org") as server:
        evaluate_url(server.url, model="m", suite_paths=[cases], out=tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page and "<img" not in page
    assert "&lt;img" in page
    for file in (tmp_path / "out").iterdir():
        assert b"example.org" not in file.read_bytes()
    assert not re.findall(r"""(?:src|href)=["'](?!#)[^"']+""", page)
    assert page.count("<svg") >= 2


def test_the_files_carry_the_gates_decision_when_there_is_one(tmp_path: Path) -> None:
    report, out = run(tmp_path, lambda text, _: label_in(text), ("test",))
    check = Check(
        measure="exact_match",
        suite="test",
        rule="at_least",
        threshold=0.9,
        value=0.5,
        bound=0.4,
        n=60,
        verdict="fail",
        reason="too low",
    )
    decision = GateDecision(
        project="shop",
        release=report.release,
        report=name_of(report),
        baseline_release=None,
        baseline_report=None,
        policy={},
        alpha=0.05,
        checks=(check,),
        verdict="fail",
    )
    details = read_report(out / "report.json").details
    write_report(out, report, details, decision=decision)
    assert read_report(out / "report.json").decision == decision
    assert "Gate: fail" in (out / "report.html").read_text()
    unclear = dataclasses.replace(check, verdict="inconclusive", needed_n=1200)
    write_report(
        out, report, details, decision=dataclasses.replace(decision, checks=(unclear,), verdict="inconclusive")
    )
    assert "too low; about 1,200 cases are needed" in (out / "report.html").read_text()
    write_report(out, report, details, decision=decision)
    tree = ElementTree.fromstring((out / "junit.xml").read_bytes())
    assert tree.find("testsuite[@name='gate']/testcase/failure[@message='too low']") is not None
    assert ElementTree.fromstring(junit(report)).find("testsuite[@name='gate']") is None


def test_what_dvc_compares_leaves_out_slices_and_times(tmp_path: Path) -> None:
    report, _ = run(tmp_path, lambda text, _: label_in(text))
    assert sorted(metrics_of(report)) == [
        *("invariance.errors", "invariance.invariance"),
        *("test.accuracy", "test.errors", "test.exact_match"),
        *("test.macro_f1", "test.macro_precision", "test.macro_recall", "test.micro_f1", "test.micro_precision"),
    ]


def test_damaged_and_missing_evidence_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_items(tmp_path / "items.jsonl")
    (tmp_path / "items.jsonl").write_text('{"suite": "t", "item": "i", "measure": "m", "score": 1}\n{"suite"\n')
    with pytest.raises(CorruptionError, match=r"items\.jsonl:2"):
        read_items(tmp_path / "items.jsonl")
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(CorruptionError, match=r"report\.json"):
        read_report(tmp_path / "report.json")


def test_a_url_alone_is_evaluated_under_a_stand_in_for_its_release(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_bytes(b"".join(msgspec.json.encode({"text": text, "label": label}) + b"\n" for text, label in ROWS))
    with chat_server(lambda text, _: label_in(text)) as server:
        report, items = evaluate_url(server.url, model="m", suite_paths=[cases], out=tmp_path / "out")
        assert report.release == stand_in(server.url + "/", "m")
    assert (report.project, value(report, "cases", "macro_f1")) == ("standalone", 1.0)
    assert items_hash(items) == report.items_hash


def test_free_answers_are_not_taken_for_labels(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_bytes(b"".join(msgspec.json.encode({"text": f"say {k}", "label": f"{k}"}) + b"\n" for k in range(20)))
    with chat_server(lambda text, _: text.removeprefix("say ")) as server:
        report, _ = evaluate_url(server.url, model="m", suite_paths=[cases], out=tmp_path / "out")
    assert {m.name for m in report.measures} - {"bleu"} == {  # with sacrebleu only
        *("answered", "chrf", "errors", "exact_match", "rouge_l", "token_f1"),
        *("latency_p50_ms", "latency_p99_ms"),
    }


def test_macro_f1_equals_hand_counts_and_its_bootstrap_is_seeded() -> None:
    pairs = [("a", "a")] * 6 + [("a", "b")] * 2 + [("b", "b")] * 3 + [("b", None)]
    assert f1_by_label(Counter(pairs)) == pytest.approx({"a": 12 / 14, "b": 6 / 9})
    assert macro_f1(Counter(pairs)) == pytest.approx((12 / 14 + 6 / 9) / 2)
    low, high = percentile_interval(macro_f1_replicates(pairs), 0.95)
    assert low < macro_f1(Counter(pairs)) < high
    assert macro_f1_replicates(pairs) == macro_f1_replicates(pairs)


def test_a_real_engine_is_evaluated_through_the_prompt_path(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    write_tiny_gguf(tmp_path / "model" / "model.gguf")
    release = dataclasses.replace(
        RELEASE, task="classification", constraint=Constraint(kind="labels", labels=("hello", "refund"))
    )
    folder = write_test_split(tmp_path / "dataset", [(f"hi there {k}", "hello") for k in range(8)])
    with engine_process(release, tmp_path / "model") as url:
        report = evaluate(
            EvaluateConfig(concurrency=2),
            project="shop",
            task="classification",
            release=release,
            release_name=name_of(release),
            dataset=None,
            dataset_dir=folder,
            root=tmp_path,
            completer=HttpCompleter(url, release=release, model="m", api_key=None, timeout_s=30.0),
            engine="llama.cpp",
            out=tmp_path / "out",
        )
    assert report.failures == 0
    answers = {score.answer for score in read_items(tmp_path / "out" / "items.jsonl") if score.measure == "accuracy"}
    assert answers <= {"hello", "refund"}  # the grammar allows nothing else
    exact = next(m for m in report.measures if m.name == "exact_match")
    assert exact.n == 8


def test_the_report_says_which_steps_of_the_preparation_changed_how_many_requests(tmp_path: Path) -> None:
    rows = [
        *ROWS[:57],
        ("<p>one</p> about refund", "refund"),
        ("  two  about refund", "refund"),
        ("e\u0301 refund", "refund"),
    ]
    folder, out = write_test_split(tmp_path / "dataset", rows), tmp_path / "evaluation"
    prepared = Preparation(version=1, steps=("encoding", "markup", "characters", "whitespace"))
    release = dataclasses.replace(RELEASE, preparation=prepared)
    with chat_server(label_in) as server:
        evaluate(
            EvaluateConfig(suites=("test",)),
            project="shop",
            task="classification",
            release=release,
            release_name=name_of(release),
            dataset=None,
            dataset_dir=folder,
            root=tmp_path,
            completer=HttpCompleter(server.url, release=release, model="m", api_key=None, timeout_s=5.0),
            engine="test server",
            out=out,
        )
    assert read_report(out / "report.json").details.prepared == {"encoding": 1, "markup": 1, "whitespace": 2}
    assert "1 by encoding, 1 by markup, 2 by whitespace." in (out / "report.html").read_text()
