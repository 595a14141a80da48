"""kill -9 of gateway workers and the ingester, under load: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from flyball.gateway.config import RecordingConfig
from flyball.gateway.context import IngestContext
from flyball.gateway.recording.ingester import ingest_once
from flyball.records import Finding
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from flyball.storage.routing import publish
from mock_engine import MockEngine
from running_gateway import KEY, arm, chat, split, table

pytestmark = pytest.mark.parametrize(
    "ledger_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True
)
SCRIPT = Path(__file__).parents[1] / "support" / "gateway_process.py"


class Processes:
    """Two workers on one port and an ingester; whoever is killed is started again."""

    def __init__(self, folder: Path, url: str, port: int) -> None:
        self.arguments = (str(folder), url, str(port))
        self.running: dict[str, subprocess.Popen[str]] = {}

    def start(self, role: str) -> None:
        command = [sys.executable, str(SCRIPT), role, *self.arguments]
        self.running[role] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if role != "ingester":
            assert self.running[role].stdout.readline().strip().isdigit()  # type: ignore[union-attr]

    def kill(self, role: str, number: int = signal.SIGKILL) -> int:
        process = self.running.pop(role)
        process.send_signal(number)
        code = process.wait(15)
        process.stdout.close()  # type: ignore[union-attr]
        return code

    def end(self) -> None:
        for role in list(self.running):
            self.kill(role)


@pytest.fixture
def processes(tmp_path: Path, ledger_url: str) -> Iterator[Processes]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(("127.0.0.1", 0))  # held, so that nobody else gets this port; never listened on
        made = Processes(tmp_path, ledger_url, probe.getsockname()[1])
        yield made
        made.end()


def client(port: int, stop: threading.Event, answered: list[str], praised: list[str]) -> None:
    """Ask and praise over one connection after another; note only what was acknowledged whole."""
    number = 0
    while not stop.is_set():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                for _ in range(20):
                    number += 1
                    head, _ = exchange(connection, "/v1/chat/completions", chat(user=f"user-{number % 7}"))
                    answered.append(head["x-flyball-request-id"])
                    body = {"request_id": answered[-1], "score": 1, "comment": f"number {number}"}
                    praised.append(exchange(connection, "/v1/feedback", body)[1]["id"])
        except (OSError, EOFError):
            time.sleep(0.01)


def exchange(connection: socket.socket, path: str, body: Any) -> tuple[dict[str, str], Any]:
    data = json.dumps(body).encode()
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += received(connection)
    head, _, rest = answer.partition(b"\r\n\r\n")
    length = int(split(head + b"\r\n\r\n{}")[1]["content-length"])
    while len(rest) < length:
        rest += received(connection)
    status, headers, document = split(head + b"\r\n\r\n" + rest)
    if status >= 300:
        raise EOFError(status)
    return headers, document


def received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise EOFError
    return data


def ids(ledger: Ledger, table_: Any) -> list[str]:
    with ledger.read() as connection:
        return list(connection.execute(select(table_.c.id)).scalars())


def test_nothing_acknowledged_is_lost_or_doubled_by_kill_9(
    tmp_path: Path, ledger: Ledger, processes: Processes
) -> None:
    chance = random.Random(7)
    answered: list[list[str]] = [[] for _ in range(3)]
    praised: list[list[str]] = [[] for _ in range(3)]
    stop = threading.Event()
    with MockEngine() as engine:
        publish(tmp_path / "routes.json", table(arm(engine, slots=64)))
        for role in ("0", "1", "ingester"):
            processes.start(role)
        port = int(processes.arguments[2])
        threads = [
            threading.Thread(target=client, args=(port, stop, answered[n], praised[n]), daemon=True) for n in range(3)
        ]
        for thread in threads:
            thread.start()
        for victim in ("0", "ingester", "1", "ingester", "0", "1"):
            time.sleep(chance.uniform(0.1, 0.4))
            processes.kill(victim)
            processes.start(victim)
        stop.set()
        for thread in threads:
            thread.join(10)
    processes.end()
    context = IngestContext(
        recording=RecordingConfig(), project="shop", segments_dir=tmp_path / "segments", project_key=KEY, ledger=ledger
    )
    ingest_once(context)
    ingest_once(context)
    requests, feedback = ids(ledger, tables.requests), ids(ledger, tables.feedback)
    acknowledged = {identifier for part in answered for identifier in part}
    thanked = {identifier for part in praised for identifier in part}
    assert len(acknowledged) > 100 and len(thanked) > 100
    assert acknowledged <= set(requests) and thanked <= set(feedback)
    assert len(requests) == len(set(requests)) and len(feedback) == len(set(feedback))
    assert set(ids(ledger, tables.payloads)) == {*requests, *feedback}
    with ledger.read() as connection:
        orphans = connection.execute(
            select(func.count()).select_from(tables.feedback).where(tables.feedback.c.request.is_(None))
        ).scalar_one()
    assert orphans == 0
    assert not ledger.find(Finding), "a killed writer leaves a torn end, never damage"
    assert not list((tmp_path / "segments").glob("*.seg"))


def test_sigterm_drains_and_ends_with_success(tmp_path: Path, processes: Processes) -> None:
    with MockEngine("slow", delay_s=0.05) as engine:
        publish(tmp_path / "routes.json", table(arm(engine)))
        processes.start("0")
        port = int(processes.arguments[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            body = json.dumps(chat(stream=True)).encode()
            connection.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
                + body
            )
            first = connection.recv(65536)
            assert processes.kill("0", signal.SIGTERM) == 0
            rest = b""
            while data := connection.recv(65536):
                rest += data
        assert (first + rest).endswith(b"0\r\n\r\n")
