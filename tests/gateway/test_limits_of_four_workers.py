"""Four workers under more load than allowed, killed and restarted meanwhile: limits and budgets hold to the request.

The bounds asserted here are those of docs/explanation/limits.md. "Unanswered" are requests whose connection broke: at
most those that were in flight in a worker when it was killed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from flyball.cost.budgets import spent
from flyball.cost.config import CostConfig
from flyball.cost.pools import SHARE, period_of
from flyball.cost.prices import request_usd
from flyball.gateway.config import RecordingConfig
from flyball.gateway.context import IngestContext
from flyball.gateway.recording.ingester import ingest_once
from flyball.security.principals import create_key
from flyball.security.teams import set_team
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from flyball.storage.routing import publish
from gateway_fleet import WORKERS, Clients, Fleet
from mock_engine import MockEngine
from running_gateway import KEY, arm, table

pytestmark = pytest.mark.parametrize(
    "ledger_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)
MAX_TOKENS = 40


class Arrivals(list[float]):
    """When each request reached the engine; a MockEngine's behaviour."""

    def __call__(self, _number: int, _body: object) -> str:
        self.append(time.monotonic())
        return "ok"


@pytest.fixture
def arrivals() -> Arrivals:
    return Arrivals()


@pytest.fixture
def engine(arrivals: Arrivals) -> Iterator[MockEngine]:
    with MockEngine(arrivals) as running:
        yield running


@pytest.fixture
def fleet(tmp_path: Path, ledger_url: str, engine: MockEngine) -> Iterator[Fleet]:
    publish(tmp_path / "routes.json", table(arm(engine, slots=64)))
    with Fleet(tmp_path, ledger_url) as running:
        yield running


def hammer(fleet: Fleet, clients: Clients, *, kills: int, every_s: float = 0.7) -> None:
    for _ in range(kills):
        time.sleep(every_s)
        fleet.kill_one()
    assert clients.answers[200] > 0


def finish(fleet: Fleet, clients: Clients, ledger: Ledger) -> None:
    """Stop everything and take in what is left, so that the ledger says all there is to say."""
    clients.stop()
    fleet.drain()
    context = IngestContext(
        recording=RecordingConfig(),
        project="shop",
        segments_dir=fleet.folder / "segments",
        project_key=KEY,
        ledger=ledger,
    )
    ingest_once(context)


def until(condition: Callable[[], bool], *, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)


def recorded_usd(ledger: Ledger) -> tuple[float, int]:
    column = tables.requests.c
    with ledger.read() as connection:
        row = connection.execute(select(func.sum(column.cost_usd), func.count()).where(column.key_id != "local")).one()
    return float(row[0] or 0.0), int(row[1])


def test_a_budget_of_a_team_holds_and_what_the_dead_spent_is_counted_exactly(
    ledger: Ledger, fleet: Fleet, engine: MockEngine, arrivals: Arrivals
) -> None:
    cost = request_usd(CostConfig(), prompt_tokens=11, completion_tokens=7)
    budget = 400 * cost
    set_team(ledger, "support", {"budget_usd": budget})
    secrets = [create_key(ledger, name=name, team="support")[1] for name in "ab"]
    engine.delay_s = 0.1  # so that kills find requests in flight
    time.sleep(1.0)
    clients = Clients(fleet.port, secrets, max_tokens=MAX_TOKENS)
    hammer(fleet, clients, kills=5)
    until(lambda: time.monotonic() - clients.last_ok > 5.0, seconds=60)
    finish(fleet, clients, ledger)
    total, answers = recorded_usd(ledger)
    each = total / answers
    estimate = request_usd(CostConfig(), prompt_tokens=60, completion_tokens=MAX_TOKENS)
    admitted = len(arrivals) * each
    print(
        f"budget {budget:.6f} recorded {total:.6f} admitted {admitted:.6f} kills {fleet.kills} "
        f"unanswered {clients.unanswered} answers {dict(clients.answers)} {dict(clients.codes)}"
    )
    assert total <= budget + 1e-12, "what was answered never costs more than the budget"
    assert admitted <= budget + clients.unanswered * estimate, "beyond it: at most what was in flight at the kills"
    assert total >= budget - len(WORKERS) * (SHARE * budget + 2 * estimate), "and the budget can be used"
    counted = spent(ledger, "team:support", period_of(time.time()))
    assert counted == pytest.approx(total, rel=1e-9), "each answer counts once, whether its worker lived or died"


def test_requests_per_minute_hold_in_every_window(
    ledger: Ledger, fleet: Fleet, engine: MockEngine, arrivals: Arrivals
) -> None:
    per_minute = 120
    _, secret = create_key(ledger, name="app", requests_per_minute=per_minute)
    time.sleep(1.0)
    clients = Clients(fleet.port, [secret], max_tokens=MAX_TOKENS)
    hammer(fleet, clients, kills=5, every_s=1.2)
    finish(fleet, clients, ledger)
    late_s = 0.5  # between admission and the engine's sight of it
    most = max(
        last - first + 1 - per_minute - (arrivals[last] - arrivals[first] + late_s) * per_minute / 60
        for first in range(len(arrivals))
        for last in range(first, len(arrivals))
    )
    print(
        f"admitted {len(arrivals)} in {arrivals[-1] - arrivals[0]:.1f} s, kills {fleet.kills}, "
        f"worst window {most:+.2f} against capacity + refill, answers {dict(clients.answers)}"
    )
    assert most <= 0
    assert len(arrivals) >= per_minute * 0.9
    assert clients.answers[429] > len(arrivals), "it was hammered well above the limit"


def test_concurrency_of_a_team_holds_and_seats_of_killed_workers_come_back(
    ledger: Ledger, fleet: Fleet, engine: MockEngine, arrivals: Arrivals
) -> None:
    seats = 4
    set_team(ledger, "support", {"concurrency": seats})
    secrets = [create_key(ledger, name=name, team="support")[1] for name in "ab"]
    engine.delay_s = 0.1
    time.sleep(1.0)
    clients = Clients(fleet.port, secrets, threads=12, max_tokens=MAX_TOKENS)
    hammer(fleet, clients, kills=4, every_s=1.0)
    before = len(arrivals)
    time.sleep(3.0)
    finish(fleet, clients, ledger)
    print(
        f"most at once {engine.most_active} of {seats}, kills {fleet.kills}, unanswered {clients.unanswered}, "
        f"answers {dict(clients.answers)} {dict(clients.codes)}, after the last kill {len(arrivals) - before} in 3 s"
    )
    assert engine.most_active <= seats
    assert clients.codes["concurrency_limit_exceeded"] > 0
    assert len(arrivals) - before > 20, "killed workers' seats are in use again"
