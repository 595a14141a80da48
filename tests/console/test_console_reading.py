"""The read model says the same on SQLite and on PostgreSQL, and its figures are the ledger's."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

import console_shop
from flyball.console.cached_metrics import CachedMetrics
from flyball.console.front_page import choose_route, read_findings, read_overview
from flyball.console.record_page import read_record
from flyball.console.request_list import Filters, read_answers
from flyball.console.request_page import phases, read_story
from flyball.console.rollouts import read_rollouts
from flyball.console.traffic import FAILED, MINUTES, quantile, read_traffic
from flyball.records import fingerprint
from flyball.storage import deployments
from flyball.storage.ledger import Ledger, now_ms
from traffic_rows import add_request


def test_the_overview_agrees_with_what_was_put_into_the_ledger(ledger: Ledger) -> None:
    shop = console_shop.fill(ledger, requests=150)
    overview = read_overview(ledger, CachedMetrics(wait_s=30), route=None, now_ms=now_ms())
    assert overview.route == "shop" and overview.routes == ("shop",)
    assert overview.live is not None and overview.live.release == shop.live.name
    assert overview.live.previous == shop.old.name and overview.live.since_ms is not None
    assert overview.traffic.requests == 150
    assert overview.traffic.failed == sum(r.outcome in FAILED for r in shop.requests)
    assert [found.finding.id for found in overview.findings] == [shop.finding.id]
    assert overview.rollout is not None and overview.rollout.deployment == shop.open_deployment
    assert overview.evaluated == shop.live.report.measures[0]
    assert overview.cost is not None and overview.cost.by_kind["training"] > 0
    assert overview.listening is not None and overview.listening.n > 0
    assert overview.compared[0].is_live and {one.release for one in overview.compared} >= {shop.candidate.name}
    assert len(overview.stages) == 12


def test_stories_records_lists_and_rollouts_read_on_both_databases(ledger: Ledger, tmp_path: Path) -> None:
    shop = console_shop.fill(ledger, requests=60)
    story = read_story(ledger, shop.requests[-1].id)
    assert [link.title for link in story.chain] == [
        "Release",
        "Deployment",
        "Gate decision",
        "Evaluation report",
        "Model",
        "Training run",
        "Dataset",
    ]
    page = read_record(ledger, fingerprint(shop.live.release), root=tmp_path)
    assert page.requests == sum(r.release == shop.live.name for r in shop.requests)
    assert len(read_answers(ledger, Filters(text="<EMAIL>")).answers) > 0
    assert [rollout.state for rollout in read_rollouts(ledger)] == ["ramping", "live", "retired"]


def test_a_finding_closes_when_another_release_goes_live(ledger: Ledger) -> None:
    shop = console_shop.fill(ledger, requests=5)
    assert any(found.is_open for found in read_findings(ledger, limit=10))
    name, other = shop.open_deployment.id, shop.candidate.name
    with ledger.begin() as connection:
        deployments.move_pointer(connection, "shop", "shop", release=other, deployment=name)
    assert not any(found.is_open for found in read_findings(ledger, limit=10))


def test_traffic_counts_each_request_of_the_last_hour_once_and_none_before(ledger: Ledger) -> None:
    now = 1_790_000_000_000
    ages_ms = [0, 1, 59_999, 60_000, 3_599_999, 3_600_000, 3_700_000]
    with ledger.begin() as connection:
        for age in ages_ms:
            add_request(connection, console_shop.request(started_ms=now - age, total_ms=float(age + 1)))
        add_request(connection, console_shop.request(started_ms=now - 5, route="other"))
    found = read_traffic(ledger, route="shop", now_ms=now)
    assert found.requests == 5
    assert found.minutes[-1].answered == 3 and found.minutes[-2].answered == 1 and found.minutes[0].answered == 1
    assert found.last_ms == now
    assert found.p50 == 60_000.0 and found.p99 == 3_600_000.0
    assert read_traffic(ledger, route=None, now_ms=now).requests == 6
    assert len(found.points()) == MINUTES


def test_an_unknown_route_falls_back_to_the_projects_own(ledger: Ledger) -> None:
    assert choose_route(ledger, None) == ("shop", ())
    with ledger.begin() as connection:
        for name in ("beta", "shop"):
            deployments.move_pointer(connection, "shop", name, release="r", deployment=None)
    assert choose_route(ledger, "nowhere")[0] == "shop"
    assert choose_route(ledger, "beta") == ("beta", ("beta", "shop"))


@given(st.lists(st.floats(0, 1e6), max_size=60), st.floats(0.001, 1))
def test_a_quantile_is_the_smallest_value_that_such_a_share_stays_within(values: list[float], share: float) -> None:
    found = quantile(sorted(values), share)
    if not values:
        assert found is None
        return
    assert found is not None
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values) + 1e-6


@given(queue=st.floats(0, 1e5), first=st.none() | st.floats(0, 1e5), total=st.floats(0, 1e5))
def test_the_bars_of_an_answers_time_are_in_order_and_fill_it(queue: float, first: float | None, total: float) -> None:
    bars = phases(console_shop.request(queue_ms=queue, first_token_ms=first, total_ms=total))
    assert bars[0].start == 0.0
    assert all(0.0 <= bar.start <= bar.end <= 1.0 for bar in bars)
    assert all(one.end == other.start for one, other in pairwise(bars))
    assert abs(sum(bar.duration_ms for bar in bars) - total) < 1e-6
