"""What traces cost: milliseconds of control's job for each 1,000 requests. One JSON object last.

    python bench/traces.py [--requests 10000] [--rounds 5]

A SQLite ledger with so many requests of 1 kB and answers of 1 kB, sent to a process on loopback that reads and drops
them. CPU is that of the job's thread; medians, lowest and highest of the rounds. The gateway has no part in it. I/O: a
folder of its own, removed at the end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any

from sqlalchemy import delete

from flyball.monitoring.traces.config import TracesConfig
from flyball.monitoring.traces.export import Exporter
from flyball.monitoring.traces.spans import Answerer
from flyball.records import RequestRecord
from flyball.records.identity import uuid7
from flyball.storage import tables
from flyball.storage.ledger import Ledger, now_ms, open_ledger
from flyball.storage.traffic import add_payloads, add_requests

PROJECT = "traces"
TEXT = ("my parcel has not come yet and nobody can tell me where it is " * 17)[:1024]
REDACTED = json.dumps({"messages": [{"role": "user", "content": TEXT}], "answer": TEXT})
CASES: dict[str, dict[str, Any]] = {"spans": {}, "tenth": {"sample": 0.1}, "content": {"content": True}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    here, there = multiprocessing.Pipe()
    receiver = multiprocessing.Process(target=receive, args=(there,), daemon=True)
    receiver.start()
    url = f"http://127.0.0.1:{here.recv()}/v1/traces"
    figures: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="flyball-traces-") as folder:
        ledger = open_ledger(f"sqlite:///{folder}/ledger.db", project=PROJECT)
        send(ledger, url, {})  # the first look begins at the newest request
        fill(ledger, options.requests)
        for case, config in CASES.items():
            rounds = [measured(ledger, url, config, options.requests) for _ in range(options.rounds)]
            for name, values in zip(("cpu_ms", "wall_ms"), zip(*rounds, strict=True), strict=True):
                figures.setdefault(case, {})[name] = [statistics.median(values), min(values), max(values)]
            print(case, figures[case])
        ledger.close()
    receiver.terminate()
    print(json.dumps(figures))


def measured(ledger: Ledger, url: str, config: dict[str, Any], count: int) -> tuple[float, float]:
    """CPU and wall time of sending all of it once, in milliseconds per 1,000 requests."""
    with ledger.begin() as connection:
        connection.execute(delete(tables.monitors))
        row = {"project": PROJECT, "name": "traces", "through_seq": 0, "state": "{}"}
        connection.execute(tables.monitors.insert().values(row))
    cpu, wall, sent = time.thread_time(), time.monotonic(), 0
    while found := send(ledger, url, config):
        sent += found
    spent = time.thread_time() - cpu, time.monotonic() - wall
    if not config.get("sample") and sent != count:
        raise SystemExit(f"{sent} of {count} traces were sent")
    return round(spent[0] * 1e6 / count, 1), round(spent[1] * 1e6 / count, 1)


def send(ledger: Ledger, url: str, config: dict[str, Any]) -> int:
    return Exporter(
        ledger=ledger,
        config=TracesConfig(url=url, **config),
        url=url,
        answerer=lambda _: Answerer(provider="llama.cpp", model="model"),
        secrets=str,
    ).send_due()


def fill(ledger: Ledger, count: int) -> None:
    for begin in range(0, count, 1000):
        records = [request() for _ in range(begin, min(count, begin + 1000))]
        rows = [
            {"id": one.id, "project": PROJECT, "subject": one.id, "sealed": b"", "redacted": REDACTED, "expires_ms": 0}
            for one in records
        ]
        with ledger.begin() as connection:
            add_requests(connection, PROJECT, records)
            add_payloads(connection, rows)


def request() -> RequestRecord:
    return RequestRecord(
        id=uuid7(),
        project=PROJECT,
        route="shop",
        release="a" * 64,
        deployment=None,
        variant="live",
        endpoint="engine-1",
        key_id="local",
        team="support",
        subject=None,
        conversation=None,
        client_id=None,
        unit="u" * 64,
        started_ms=now_ms(),
        queue_ms=0.5,
        first_token_ms=10.0,
        total_ms=30.0,
        longest_gap_ms=2.0,
        attempts=1,
        status=200,
        outcome="ok",
        error=None,
        finish_reason="stop",
        stream=True,
        prompt_tokens=200,
        completion_tokens=200,
        cost_usd=0.001,
    )


def receive(pipe: Connection) -> None:
    """A receiver that reads bodies and drops them."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pipe.send(server.server_port)
    server.serve_forever()


if __name__ == "__main__":
    main()
