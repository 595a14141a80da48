"""Numbers for status and console: exact, bounded, and honest where nothing was measured."""

from __future__ import annotations

from flyball.monitoring.health import evaluated_quality, open_findings, quality
from flyball.records import EvalReport, Finding, Measure, SuiteRef
from flyball.statistics.intervals import clopper_pearson
from flyball.storage.ledger import Ledger
from traffic_samples import RELEASE, ROUTE, Traffic


def test_what_nobody_graded_has_no_quality(ledger: Ledger) -> None:
    estimate = quality(ledger, RELEASE)
    assert (estimate.value, estimate.lower, estimate.upper, estimate.n) == (None, 0.0, 1.0, 0)


def test_quality_takes_the_latest_grade_of_each_request_with_an_exact_interval(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    first, second, third = traffic.ask_many(["a"] * 3)
    traffic.say(first, score=0.0)
    traffic.say(first, score=1.0)
    traffic.say(second, correction="orders")
    traffic.say(third, correction="refunds")
    traffic.say(third, comment="thanks")
    traffic.say(None, label="bad", client_id="mine", key_id="app")
    traffic.ask(client_id="mine", key_id="app")
    traffic.say(traffic.ask(release="b" * 64), score=0.0)
    estimate = quality(ledger, RELEASE)
    assert (estimate.good, estimate.n, estimate.value) == (2, 4, 0.5)
    assert (estimate.lower, estimate.upper) == clopper_pearson(2, 4, 0.95)


def test_the_evaluated_quality_is_the_newest_reports(ledger: Ledger) -> None:
    assert evaluated_quality(ledger, RELEASE) is None
    for value in (0.7, 0.9):
        ledger.append(report(value))
    assert evaluated_quality(ledger, RELEASE) == 0.9


def test_findings_are_open_for_the_release_they_speak_of(ledger: Ledger) -> None:
    ledger.append(finding("a1", RELEASE))
    ledger.append(finding("b2", "b" * 64))
    assert [one.id for one in open_findings(ledger, route=ROUTE, release=RELEASE)] == ["a1"]


def report(value: float) -> EvalReport:
    measures = tuple(
        Measure(suite="test", name="exact_match", value=at, lower=0.0, upper=1.0, level=0.95, n=10, slice=part)
        for at, part in ((0.1, "label=a"), (value, None))
    )
    return EvalReport(
        project="shop",
        release=RELEASE,
        dataset=None,
        suites=(SuiteRef(name="test", fingerprint="f", items=10),),
        measures=measures,
        items_hash=str(value),
        failures=0,
        engine="e",
        prompt_path=1,
    )


def finding(name: str, release: str) -> Finding:
    return Finding(
        id=name,
        project="shop",
        kind="drift",
        severity="warning",
        route=ROUTE,
        release=release,
        measure="m",
        value=0.5,
        reference=0.1,
        evidence={},
        first_seq=1,
        last_seq=2,
        examples=(),
        explanation="new words",
    )
