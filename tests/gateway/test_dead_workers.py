"""Workers that died: what they held counts as what their records say, exactly once, and never as less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from flyball.cost.budgets import spent
from flyball.cost.limit_leases import LeaseRequest, lease
from flyball.cost.pools import SEATS, USD, period_of
from flyball.cost.settlement import settle_dead
from flyball.gateway.config import RecordingConfig
from flyball.gateway.context import IngestContext
from flyball.gateway.recording.ingester import ingest_once
from flyball.gateway.recording.segment_format import RequestEntry
from flyball.gateway.recording.segment_writer import SegmentWriter
from flyball.gateway.recording.worker_locks import WorkerLock, dead_workers, worker_of
from flyball.records import RequestRecord
from flyball.records.identity import uuid7
from flyball.security.principals import create_key
from flyball.storage import tables
from flyball.storage.ledger import Ledger, now_ms
from mock_engine import MockEngine
from record_samples import request_record
from running_gateway import KEY, RunningGateway, arm, chat, table

PERIOD = period_of(now_ms() / 1000)
ACCOUNT = "key:1"


class Worker:
    """What a gateway worker leaves behind: a lifeline, segments, shares in the ledger."""

    def __init__(self, context: IngestContext) -> None:
        self.name = uuid7()
        self.ledger = context.ledger
        self.lifeline = WorkerLock(context.segments_dir, self.name)
        self.writer = SegmentWriter(context.segments_dir, worker=self.name, project="shop", seal_key=KEY.seal_key)

    def lease(self, *, granted: float, spent: float, name: str = "", account: str = ACCOUNT, kind: int = USD) -> None:
        ask = LeaseRequest(
            account=account,
            kind=kind,
            period=PERIOD if kind == USD else "",
            limit=10.0,
            used=spent,
            held=0.0,
            had=0.0,
            returned=0.0,
            want=granted - spent,
            least=0.0,
        )
        lease(self.ledger, worker=name or self.name, asks=[ask], ttl_s=60.0, holding=False)

    def answer(self, *, usd: float, **changes: Any) -> RequestRecord:
        record = request_record(key_id="1", cost_usd=usd, started_ms=now_ms(), **changes)
        self.writer.append(RequestEntry(record=record, messages=[], answer="yes"))
        return record

    def die(self) -> None:
        self.writer.close()
        self.lifeline.let_go()


@pytest.fixture
def context(tmp_path: Path, ledger: Ledger) -> IngestContext:
    folder = tmp_path / "segments"
    return IngestContext(
        recording=RecordingConfig(), project="shop", segments_dir=folder, project_key=KEY, ledger=ledger
    )


def rows(ledger: Ledger, table_: Any) -> int:
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table_)).scalar_one())


def test_a_dead_worker_counts_as_its_records_and_all_else_that_it_held_is_free(
    context: IngestContext, ledger: Ledger
) -> None:
    worker = Worker(context)
    worker.lease(granted=4.0, spent=0.5)
    worker.lease(granted=3.0, spent=0.0, kind=SEATS)
    for usd in (0.5, 0.25, 0.125):
        worker.answer(usd=usd)
    ingest_once(context)
    assert spent(ledger, ACCOUNT, PERIOD) == 0.5, "as far as it told while it lives"
    worker.die()
    for _ in range(2):
        ingest_once(context)
        assert spent(ledger, ACCOUNT, PERIOD) == 0.875
    assert rows(ledger, tables.limit_workers) == rows(ledger, tables.worker_spend) == 0
    assert rows(ledger, tables.limit_shares) == 1
    assert list(context.segments_dir.glob("*.worker")) == []


def test_an_ingester_that_dies_before_it_forgets_the_worker_settles_it_once(
    context: IngestContext, ledger: Ledger
) -> None:
    worker = Worker(context)
    worker.lease(granted=4.0, spent=0.0)
    worker.answer(usd=0.25)
    worker.die()
    ingest_once(context)
    for _ in range(2):
        settle_dead(ledger, worker.name, complete=True)
    assert spent(ledger, ACCOUNT, PERIOD) == 0.25


def test_what_a_worker_lost_and_leased_anew_counts_once(context: IngestContext, ledger: Ledger) -> None:
    worker = Worker(context)
    worker.lease(granted=2.0, spent=0.5)
    worker.lease(granted=2.0, spent=0.25, name=f"{worker.name}.2")
    for usd in (0.5, 0.25, 0.25):
        worker.answer(usd=usd)
    worker.die()
    ingest_once(context)
    assert spent(ledger, ACCOUNT, PERIOD) == 1.0


def test_the_team_pays_too_and_a_shadow_costs_nobody(context: IngestContext, ledger: Ledger) -> None:
    worker = Worker(context)
    worker.lease(granted=2.0, spent=0.0)
    worker.lease(granted=2.0, spent=0.0, account="team:support")
    first = worker.answer(usd=0.5, team="support")
    worker.answer(usd=0.125, team="support", mirrors=first.id, variant="shadow")
    worker.die()
    ingest_once(context)
    assert spent(ledger, ACCOUNT, PERIOD) == spent(ledger, "team:support", PERIOD) == 0.5


def test_while_segments_of_a_dead_worker_are_not_taken_in_all_that_it_held_counts(
    context: IngestContext, ledger: Ledger
) -> None:
    worker = Worker(context)
    worker.answer(usd=0.5)
    worker.die()
    assert dead_workers(context.segments_dir) == []
    (segment,) = context.segments_dir.glob("*.seg")
    assert worker_of(segment) == worker.name
    segment.unlink()
    assert dead_workers(context.segments_dir) == [worker.name]


def test_damaged_records_leave_the_shares_counted_in_full(context: IngestContext, ledger: Ledger) -> None:
    worker = Worker(context)
    worker.lease(granted=2.0, spent=0.0)
    for _ in range(2):
        worker.answer(usd=0.25)
    worker.die()
    (segment,) = context.segments_dir.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[-5] ^= 0xFF
    segment.write_bytes(data)
    ingest_once(context)
    assert spent(ledger, ACCOUNT, PERIOD) == 2.0


def test_damaged_records_that_were_dropped_leave_the_shares_counted_in_full(
    context: IngestContext, ledger: Ledger
) -> None:
    worker = Worker(context)
    worker.lease(granted=2.0, spent=0.0)
    for _ in range(2):
        worker.answer(usd=0.25, error="x" * 300_000)  # more than a quarter of the bound
    (segment,) = context.segments_dir.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[-5] ^= 0xFF
    segment.write_bytes(data)
    worker.writer.close()
    bounded = replace(context, recording=RecordingConfig(max_disk_mb=1))
    ingest_once(bounded)
    assert list((context.segments_dir / "corrupt").iterdir()) == [], "dropped"
    worker.die()
    ingest_once(bounded)
    assert rows(ledger, tables.limit_workers) == 1, "what it held is not settled, and expires in full"


def test_a_gateway_that_could_not_record_a_request_is_never_settled_from_its_records(
    tmp_path: Path, ledger: Ledger
) -> None:
    create_key(ledger, name="app", budget_usd=1.0)
    with MockEngine() as engine, RunningGateway(tmp_path, table(arm(engine)), ledger=ledger) as gateway:
        assert len(list((tmp_path / "segments").glob("*.worker"))) == 1
        assert gateway.gateway is not None
        gateway.gateway.state.lose("feedback")
        assert len(list((tmp_path / "segments").glob("*.worker"))) == 1
        gateway.gateway.state.lose("request")
        assert list((tmp_path / "segments").glob("*.worker")) == []


def test_segments_say_which_worker_wrote_them_and_no_two_workers_share_a_name(tmp_path: Path, ledger: Ledger) -> None:
    with MockEngine() as engine:
        for _ in range(2):
            with RunningGateway(tmp_path, table(arm(engine)), ledger=ledger) as gateway:
                assert gateway.post("/v1/chat/completions", chat())[0] == 200
    names = {worker_of(path) for path in (tmp_path / "segments").glob("*.seg")}
    assert len(names) == 2
    assert names == {path.stem for path in (tmp_path / "segments").glob("*.worker")}
