"""Scores that another program made: their layouts, what is refused, and the gate on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flyball.cli.main import run
from flyball.errors import CorruptionError, GateInconclusive, InputError
from flyball.evaluation.config import EvaluateConfig
from flyball.evaluation.evaluation_run import evaluate_suites
from flyball.evaluation.item_scores import read_items
from flyball.evaluation.reports.files import read_report
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.suites.suite import Suite
from flyball.records import EvalReport, GateDecision, canonical_bytes, name_of, parse
from flyball.rollout.config import GateConfig, GateRule
from flyball.rollout.gate import Baseline, decide, verify
from flyball.telemetry import quiet
from flyball.workflows.gate import check_measurable, conditions, uncompared

LIVE, CANDIDATE = "b" * 64, "a" * 64
JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="0" failures="1" skipped="1" tests="4">
<properties><property name="model" value="our-model"/></properties>
<testcase classname="tests.test_facts" name="test_capital[Oslo]" time="0.1" />
<testcase classname="tests.test_facts" name="test_capital[Rome]" time="0.1"><failure message="no">…</failure></testcase>
<testcase classname="tests.test_tone" name="test_polite" time="0.1"><skipped message="too slow"/></testcase>
<testcase classname="tests.test_tone" name="test_short" time="0.1" />
<testcase classname="tests.test_tone" name="test_short"><error message="failed on teardown">…</error></testcase>
</testsuite></testsuites>
"""


def lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def loaded(path: Path, choice: str = "") -> Suite:
    return load_suite(f"scores:{path.name}{choice}", dataset_dir=None, root=path.parent)


def scores_of(suite: Suite) -> dict[str, float | str]:
    assert suite.elsewhere is not None
    return {**suite.elsewhere.scores, **suite.elsewhere.missing}


def sample(doc: int, **metrics: float) -> dict[str, Any]:
    about = {"doc_id": doc, "doc": {"question": "?"}, "target": "1", "resps": [["1"]], "filtered_resps": ["1"]}
    return {**about, "filter": "strict-match", "metrics": list(metrics), "doc_hash": f"h{doc}", **metrics}


def inspect_log(status: str = "success", **more: Any) -> dict[str, Any]:
    values = ["C", "I", "P", "N", 0.25, True]
    samples = [
        {"id": f"s{k}", "epoch": 1, "scores": {"match": {"value": value, "answer": "x"}}}
        for k, value in enumerate(values)
    ]
    samples.append({"id": "s9", "epoch": 1, "scores": {}, "error": {"message": "the sandbox died"}})
    return {"version": 2, "status": status, "eval": {"model": "openai/m", "task": "t"}, "samples": samples, **more}


def test_samples_of_lm_eval_are_read_with_the_metric_that_is_chosen(tmp_path: Path) -> None:
    path = lines(tmp_path / "samples_arc.jsonl", [sample(k, acc=float(k % 2), acc_norm=1.0) for k in range(4)])
    with pytest.raises(InputError, match=r"several scores: acc,strict-match, acc_norm,strict-match"):
        loaded(path)
    suite = loaded(path, "?acc")
    assert suite.name == "scores-samples_arc-acc"
    assert scores_of(suite) == {"0": 0.0, "1": 1.0, "2": 0.0, "3": 1.0}
    assert set(scores_of(loaded(path, "?acc_norm,strict-match")).values()) == {1.0}
    other = lines(tmp_path / "other.jsonl", [{**sample(k, acc=1.0), "doc_hash": "changed"} for k in range(4)])
    same_name = replace(loaded(other), name=suite.name)
    assert same_name.reference() != suite.reference(), "another question under the same number is another case"


def test_two_filters_of_lm_eval_are_two_scores(tmp_path: Path) -> None:
    rows = [{**sample(k, exact_match=float(name == "flexible")), "filter": name} for k in (0, 1) for name in NAMES]
    path = lines(tmp_path / "samples.jsonl", rows)
    with pytest.raises(InputError, match="exact_match,flexible, exact_match,strict"):
        loaded(path, "?exact_match")
    assert scores_of(loaded(path, "?exact_match,flexible")) == {"0": 1.0, "1": 1.0}


NAMES = ("flexible", "strict")


def test_a_log_of_inspect_ai_is_read_with_its_grades_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(inspect_log()))
    suite = loaded(path)
    found = scores_of(suite)
    assert [found[f"s{k}"] for k in range(6)] == [1.0, 0.0, 0.5, 0.0, 0.25, 1.0]
    assert found["s9"] == "no score: the sandbox died" and "openai/m" in suite.notes[0]
    path.write_text(json.dumps(inspect_log(status="error")))
    with pytest.raises(InputError, match="status is 'error'"):
        loaded(path)


def test_epochs_of_a_sample_are_one_cluster(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    scores = {"match": {"value": "C"}}
    samples = [{"id": k, "epoch": epoch, "scores": scores} for k in (1, 2) for epoch in (1, 2)]
    path.write_text(json.dumps(inspect_log(samples=samples)))
    assert [(item.id, item.cluster) for item in loaded(path).items] == [
        ("1#1", "1"),
        ("1#2", "1"),
        ("2#1", "2"),
        ("2#2", "2"),
    ]


def test_tests_of_junit_xml_are_read_and_skipped_ones_are_named(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(JUNIT)
    suite = loaded(tmp_path / "junit.xml")
    assert scores_of(suite) == {
        "tests.test_facts::test_capital[Oslo]": 1.0,
        "tests.test_facts::test_capital[Rome]": 0.0,
        "tests.test_tone::test_polite": "skipped: too slow",
        "tests.test_tone::test_short": 0.0,
    }
    assert any("1 tests were skipped" in note and "test_polite" in note for note in suite.notes)
    (tmp_path / "junit.xml").write_text('<!DOCTYPE x [<!ENTITY a "b">]>\n<testsuites/>')
    with pytest.raises(InputError, match="document type"):
        loaded(tmp_path / "junit.xml")


def test_nan_in_a_file_is_no_score_and_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    """Python's json writes NaN as such, so that lm-eval and inspect_ai do."""
    nan = float("nan")
    path = lines(tmp_path / "s.jsonl", [sample(0, acc=1.0, acc_norm=nan), sample(1, acc=0.0, acc_norm=1.0)])
    assert scores_of(loaded(path, "?acc_norm")) == {"0": "no score: NaN", "1": 1.0}
    assert scores_of(loaded(lines(tmp_path / "rows.jsonl", [{"id": "a", "score": nan}]))) == {"a": "no score: NaN"}
    path.write_text(path.read_text() + '{"doc_id": 2, "metr')
    with pytest.raises(InputError, match="line 3 is not JSON"):
        loaded(path, "?acc")


@pytest.mark.parametrize("value", [1.5, -0.1, "C", "nan", [1], 85])
def test_a_score_outside_0_to_1_is_refused_with_its_value(tmp_path: Path, value: object) -> None:
    path = lines(tmp_path / "rows.jsonl", [{"id": "a", "score": 1}, {"id": "b", "score": value}])
    with pytest.raises(InputError) as refusal:
        loaded(path)
    assert str(value).casefold() in refusal.value.message.casefold()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"id": "a", "score": 1}, {"id": "a", "score": 0}], "two cases have the id 'a'"),
        ([{"score": 1}], "row 1 has no id"),
        ([{"id": "a", "points": 1}], "no row has the key 'score'"),
        (
            [{"id": "a", "score": 1, "release": "1" * 9}, {"id": "b", "score": 1, "release": "2" * 9}],
            "several of release",
        ),
    ],
)
def test_rows_that_cannot_be_trusted_are_refused(tmp_path: Path, rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        loaded(lines(tmp_path / "rows.jsonl", rows))


def rows(right: int, n: int = 200, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"c{k}", "score": int(k < right), "group": "ab"[k % 2], **more} for k in range(n)]


class Unasked:
    def complete(self, body: dict[str, Any], /) -> Any:
        raise AssertionError(f"asked {body}")


def measured(folder: Path, scored: Sequence[Mapping[str, Any]], release: str) -> Baseline:
    folder.mkdir(exist_ok=True)
    suite = loaded(lines(folder / "rows.jsonl", scored))
    report = evaluate_suites(
        (suite,),
        EvaluateConfig(),
        project="shop",
        release=release,
        dataset=None,
        classification=False,
        completer=Unasked(),
        engine="none",
        out=folder / "out",
        progress=quiet,
    )
    items = read_items(folder / "out" / "items.jsonl")
    return Baseline(release=release, report=report, report_name=name_of(report), items=items)


def decided(rule: GateRule, ours: Baseline, live: Baseline | None = None) -> GateDecision:
    return decide(
        GateConfig(rules=(rule,)),
        project="shop",
        release=ours.release,
        report=ours.report,
        report_name=ours.report_name,
        items=ours.items,
        baseline=live,
    )


def rule(**comparison: float) -> GateRule:
    return GateRule(suite="scores-rows", measure="score", **comparison)


def test_a_case_without_a_score_counts_as_a_failure_and_nothing_is_asked(tmp_path: Path) -> None:
    found = measured(tmp_path / "one", [*rows(190), {"id": "lost", "score": None}, {"id": "gone"}], CANDIDATE)
    whole = next(one for one in found.report.measures if one.name == "score" and one.slice is None)
    assert (whole.n, whole.successes, found.report.failures) == (202, 190, 2)
    assert {one.slice for one in found.report.measures if one.name == "score"} == {None, "a", "b"}
    outcomes = read_report(tmp_path / "one/out/report.json").details.outcomes[0]
    assert (outcomes.right, outcomes.wrong, outcomes.failed) == (190, 10, 2)
    assert parse(canonical_bytes(found.report), EvalReport) == found.report


def test_scores_between_0_and_1_get_a_mean(tmp_path: Path) -> None:
    found = measured(tmp_path / "one", [{"id": k, "score": 0.5 + 0.1 * (k % 2)} for k in range(100)], CANDIDATE)
    whole = found.report.measures[0]
    assert whole.value == pytest.approx(0.55) and whole.successes is None and whole.lower < 0.55 < whole.upper


def test_the_gate_passes_and_refuses_by_its_bound_and_verifies(tmp_path: Path) -> None:
    good = measured(tmp_path / "one", rows(190), CANDIDATE)
    assert decided(rule(at_least=0.9), good).verdict == "pass"
    assert decided(rule(at_least=0.99), good).verdict == "fail"
    decision = decided(rule(at_least=0.9), good)
    verify(decision, good.report, good.items)
    forged = [*good.items[:-1], replace_score(good.items[-1])]
    with pytest.raises(CorruptionError):
        verify(decision, good.report, forged)


def replace_score(item: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(item, score=1.0 - item.score)


def test_two_releases_compare_by_their_own_files_and_one_file_is_not_about_both(tmp_path: Path) -> None:
    live, same = measured(tmp_path / "live", rows(190), LIVE), measured(tmp_path / "same", rows(190), CANDIDATE)
    better, worse = measured(tmp_path / "b", rows(191), CANDIDATE), measured(tmp_path / "w", rows(120), CANDIDATE)
    assert decided(rule(not_worse_than_live=0.05), better, live).verdict == "pass"
    assert decided(rule(not_worse_than_live=0.05), worse, live).verdict == "fail"
    with pytest.raises(InputError, match="one and the same file"):
        decided(rule(not_worse_than_live=0.05), same, live)
    fewer = measured(tmp_path / "f", rows(150, 150), CANDIDATE)
    with pytest.raises(InputError, match="another version of the suite"):
        decided(rule(not_worse_than_live=0.05), fewer, live)


def test_a_file_that_names_another_release_is_refused(tmp_path: Path) -> None:
    assert measured(tmp_path / "one", rows(9, 10, release="a" * 12), CANDIDATE).report.elsewhere is not None
    for said in ("b" * 12, "a"):
        with pytest.raises(InputError, match="holds the scores of release"):
            measured(tmp_path / "one", rows(9, 10, release=said), CANDIDATE)


def project_with(*rules: GateRule) -> Any:
    return cast(Any, SimpleNamespace(settings=SimpleNamespace(gate=GateConfig(rules=rules))))


def test_live_is_not_given_the_scores_of_the_candidate(tmp_path: Path) -> None:
    report: EvalReport = measured(tmp_path / "one", rows(190), CANDIDATE).report
    compared, alone = project_with(rule(not_worse_than_live=0.1)), project_with(rule(at_least=0.1))
    with pytest.raises(GateInconclusive, match="made elsewhere"):
        check_measurable(compared, LIVE, report)
    check_measurable(alone, LIVE, report)
    assert uncompared(alone, report) == {"scores-rows"} and uncompared(compared, report) == frozenset()
    assert conditions(report, {"scores-rows"}) == conditions(replace(report, suites=()), frozenset())


@pytest.mark.parametrize(("least", "code"), [(0.9, 0), (0.99, 3)])
def test_the_command_ends_with_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], least: float, code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    lines(tmp_path / "rows.jsonl", rows(190))
    (tmp_path / "gate.yaml").write_text(f"rules: [{{measure: score, at_least: {least}}}]\n")
    arguments = ["--suite", "scores:rows.jsonl", "--gate", "gate.yaml", "--out", "report"]
    assert run(["evaluate", "http://127.0.0.1:9/v1", *arguments]) == code
    assert "made elsewhere" in capsys.readouterr().out
    assert "made elsewhere" in (tmp_path / "report/report.html").read_text()
    assert "made elsewhere" in (tmp_path / "report/report.md").read_text()
