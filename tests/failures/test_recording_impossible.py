"""Nowhere to record: answers go on or are refused as the project says, are never lost silently, and arrive later."""

from __future__ import annotations

import http.client
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from flyball.gateway.config import GatewayConfig, RecordingConfig
from flyball.gateway.recording.ingester import ingest_once
from flyball.records import Finding
from flyball.security.principals import create_key
from flyball.storage import tables
from flyball.storage.ledger import Ledger, open_ledger
from flyball.storage.routing import publish
from mock_engine import MockEngine
from outages import database, serving
from running_gateway import RunningGateway, arm, chat, table

LONG = os.urandom(15_000).hex()


def until(condition: Callable[[], Any], *, seconds: float = 15.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)
    return found


def recorded(ledger: Ledger) -> set[str]:
    with ledger.read() as connection:
        return set(connection.execute(select(tables.requests.c.id)).scalars())


def test_a_full_disk_marks_and_counts_answers_leaves_a_finding_and_ends_with_the_ingester(
    tmp_path: Path, ledger: Ledger
) -> None:
    config = GatewayConfig(recording=RecordingConfig(max_disk_mb=1))
    with (
        MockEngine() as engine,
        RunningGateway(tmp_path, table(arm(engine)), ledger=ledger, config=config) as gateway,
    ):
        good, marked = [], []
        for _ in range(60):
            status, headers, _ = gateway.post("/v1/chat/completions", chat(LONG))
            assert status == 200
            failed = headers.get("x-flyball-recording") == "failed"
            (marked if failed else good).append(headers["x-flyball-request-id"])
        assert len(good) > 20 and len(marked) > 20
        assert gateway.post("/v1/feedback", {"request_id": good[0], "score": 1, "comment": LONG[:9000]})[0] in (
            202,
            503,
        )
        disk = sum(path.stat().st_size for path in (tmp_path / "segments").glob("*.seg"))
        assert disk <= 1_048_576, "the bound is kept"
        text = gateway.get("/metrics")[2]
        counted = f'flyball_gateway_recording_failures_total{{kind="request",worker="0"}} {len(marked)}'.encode()
        assert counted in text
        (found, *_) = until(lambda: ledger.find(Finding))
        assert (found.record.kind, found.record.measure, found.record.severity) == (
            "recording",
            "unrecorded",
            "critical",
        )
        assert found.record.value >= 1 and "max_disk_mb" in found.record.explanation

        ingest_once(gateway.ingest_context(ledger))
        assert recorded(ledger) == set(good), "all that was not marked is there, nothing that was marked"
        until(lambda: "x-flyball-recording" not in gateway.post("/v1/chat/completions", chat())[1])  # it records again
    total = sum(one.record.value for one in ledger.find(Finding) if one.record.measure == "unrecorded")
    assert total >= len(marked), "at the latest when the worker ends the findings tell of every loss"


def test_a_full_disk_refuses_where_the_project_wants_no_unrecorded_answer(tmp_path: Path, ledger: Ledger) -> None:
    config = GatewayConfig(recording=RecordingConfig(max_disk_mb=1, on_failure="refuse"))
    with (
        MockEngine() as engine,
        RunningGateway(tmp_path, table(arm(engine)), ledger=ledger, config=config) as gateway,
    ):
        statuses, answered = [], set()
        for number in range(60):
            status, headers, body = gateway.post("/v1/chat/completions", chat(LONG, stream=number % 2 == 1))
            statuses.append(status)
            if status == 200 and b"recording: failed" not in (body if isinstance(body, bytes) else b""):
                assert "x-flyball-recording" not in headers
                answered.add(headers["x-flyball-request-id"])
            elif status == 503:
                assert body["error"]["code"] == "recording_failed" and headers["retry-after"]
        assert statuses.count(503) > 20 and len(answered) > 20
        assert len(engine.bodies) < 60, "once it is known to fail, no engine works for nothing"
        ingest_once(gateway.ingest_context(ledger))
        assert recorded(ledger) >= answered


class Asking:
    """A client that asks on and on, and keeps what it was acknowledged."""

    def __init__(self, port: int, key: str) -> None:
        self.port, self.key = port, key
        self.answered: list[str] = []
        self.praised: list[str] = []
        self.failures: list[Any] = []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> Asking:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(30)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.stop.wait(0.02):
            status, headers, _ = self._post(connection, "/v1/chat/completions", chat(user="ada"))
            if status != 200:
                self.failures.append((status, headers))
                continue
            self.answered.append(headers["x-flyball-request-id"])
            said = {"request_id": self.answered[-1], "score": 1, "comment": f"number {len(self.answered)}"}
            status, _, body = self._post(connection, "/v1/feedback", said)
            if status == 202:
                self.praised.append(body["id"])
            else:
                self.failures.append((status, body))
        connection.close()

    def _post(self, connection: http.client.HTTPConnection, path: str, body: Any) -> tuple[int, Any, Any]:
        connection.request("POST", path, json.dumps(body), {"authorization": f"Bearer {self.key}"})
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read() or b"null")


def everything(ledger: Ledger, client: Asking) -> bool:
    with ledger.read() as connection:
        feedback = set(connection.execute(select(tables.feedback.c.id)).scalars())
    return set(client.answered) <= recorded(ledger) and set(client.praised) <= feedback


def test_postgresql_may_stop_for_a_while_and_every_record_arrives_afterwards(tmp_path: Path) -> None:
    with database() as server, MockEngine() as engine:
        publish(tmp_path / "routes.json", table(arm(engine, slots=64)))
        ledger = open_ledger(server.url, project="shop")
        _, key = create_key(ledger, name="web")
        with serving(tmp_path, server.url) as (port, running):
            with Asking(port, key) as client:
                until(lambda: len(client.answered) > 20)
                server.stop()
                before = len(client.answered)
                time.sleep(6.0)
                assert len(client.answered) - before > 60, "answers go on without a ledger"
                assert not client.failures, client.failures[:3]
                server.start()
                before = len(client.answered)
                until(lambda: len(client.answered) > before + 20)
            assert not client.failures, client.failures[:3]
            until(lambda: everything(ledger, client), seconds=30)
            assert all(process.poll() is None for process in running.values()), "nobody died of it"
        ledger.close()


def test_sqlite_may_be_held_by_another_writer_and_every_record_arrives_afterwards(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = open_ledger(url, project="shop")
    _, key = create_key(ledger, name="web")
    with MockEngine() as engine:
        publish(tmp_path / "routes.json", table(arm(engine, slots=64)))
        with serving(tmp_path, url) as (port, running), Asking(port, key) as client:
            until(lambda: len(client.answered) > 20)
            other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, timeout=30)
            other.execute("BEGIN EXCLUSIVE")
            before = len(client.answered)
            time.sleep(5.0)
            assert len(client.answered) - before > 50, "answers go on while nobody else may write"
            other.execute("ROLLBACK")
            other.close()
            client.stop.set()
            client.thread.join(30)
            assert not client.failures, client.failures[:3]
            until(lambda: everything(ledger, client), seconds=45)
            assert all(process.poll() is None for process in running.values())
    ledger.close()


@pytest.mark.parametrize("label", ["a\0b", "\ud800", "😀" * 100, "'; DROP TABLE feedback; --"])
def test_no_feedback_stops_what_stands_behind_it(tmp_path: Path, ledger: Ledger, label: str) -> None:
    with MockEngine() as engine, RunningGateway(tmp_path, table(arm(engine)), ledger=ledger) as gateway:
        identifier = gateway.post("/v1/chat/completions", chat("a\0b \ufffe"))[1]["x-flyball-request-id"]
        said = {"request_id": identifier, "label": label, "comment": "c\0d", "correction": "e\0f"}
        status = gateway.post("/v1/feedback", said)[0]
        assert status == (400 if "\0" in label or label == "\ud800" else 202)
        after = gateway.post("/v1/chat/completions", chat(user="\0", stop=["\0"]))[1]["x-flyball-request-id"]
        ingest_once(gateway.ingest_context(ledger))
        assert {identifier, after} <= recorded(ledger)
