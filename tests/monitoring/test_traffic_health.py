"""Numbers for status and console: exact, bounded, and honest where nothing was measured."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flyball.monitoring.health import evaluated_quality, open_findings, quality, quantiles, traffic_summary
from flyball.records import EvalReport, Finding, Measure, SuiteRef
from flyball.statistics.intervals import clopper_pearson
from flyball.storage.ledger import Ledger
from traffic_samples import RELEASE, ROUTE, START_MS, Traffic


def test_a_window_is_summed_up_by_outcome_time_tokens_and_cost(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    traffic.ask_many(["a"] * 90, total_ms=10.0)
    traffic.ask_many(["a"] * 10, total_ms=100.0)
    for outcome, count in (("error", 3), ("cut", 2), ("aborted", 1), ("refused", 4)):
        traffic.ask_many(["a"] * count, outcome=outcome, total_ms=9999.0)
    traffic.ask(variant="shadow", outcome="error", total_ms=9999.0)  # a copy is no traffic
    traffic.ask(route="other")
    traffic.ask(at_ms=START_MS - 10)
    summary = traffic_summary(ledger, route=ROUTE, since_ms=START_MS, until_ms=START_MS + 10_000)
    assert (summary.requests, summary.errors, summary.cut, summary.aborted, summary.refused) == (110, 3, 2, 1, 4)
    assert (summary.total.p50, summary.total.p90, summary.total.p99, summary.total.n) == (10.0, 10.0, 100.0, 100)
    assert summary.first_token.p99 == 50.0
    assert (summary.prompt_tokens, summary.completion_tokens) == (1100, 220)
    assert abs(summary.cost_usd - 0.11) < 1e-9
    assert summary.per_minute == (110.0,)


def test_the_series_covers_the_window_in_at_most_sixty_parts(ledger: Ledger) -> None:
    traffic, minute = Traffic(ledger), 60_000
    traffic.ask_many(["a"] * 6, at_ms=START_MS)
    traffic.ask_many(["a"] * 3, at_ms=START_MS + 4 * minute)
    short = traffic_summary(ledger, since_ms=START_MS, until_ms=START_MS + 5 * minute - 1)
    assert short.per_minute == (6.0, 0.0, 0.0, 0.0, 3.0)
    day = traffic_summary(ledger, since_ms=START_MS, until_ms=START_MS + 1440 * minute)
    assert len(day.per_minute) <= 60
    assert round(day.per_minute[0] * 24, 1) == 9.0


def test_an_empty_window_has_no_quantiles_and_no_quality(ledger: Ledger) -> None:
    summary = traffic_summary(ledger, since_ms=START_MS)
    assert (summary.requests, summary.total.p50, summary.cost_usd) == (0, None, 0.0)
    estimate = quality(ledger, RELEASE)
    assert (estimate.value, estimate.lower, estimate.upper, estimate.n) == (None, 0.0, 1.0, 0)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
def test_a_quantile_is_a_value_that_its_share_stays_within(values: list[float]) -> None:
    found = quantiles(values)
    for share, at in ((0.5, found.p50), (0.9, found.p90), (0.99, found.p99)):
        assert at in values
        assert sum(value <= at for value in values) >= share * len(values)
        assert sum(value < at for value in values) < share * len(values)


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
