"""The console served for real on a loopback port, for tests to read."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

import console_shop
from console_generations import Generation
from flyball.console.context import ConsoleContext
from flyball.console.server import listen, make_server
from flyball.records import fingerprint
from flyball.settings import Settings, parse_settings
from flyball.storage.ledger import Ledger
from flyball.training.loss_curve import CurvePoint, write_curve
from flyball.wiring import Project


def settings() -> Settings:
    """The smallest project."""
    return parse_settings(
        {"version": 1, "project": console_shop.PROJECT, "data": {"sources": [{"path": "tickets.jsonl"}]}}
    )


def project_over(ledger: Ledger, root: Path) -> Project:
    """The smallest project, over a ledger that is open already."""
    project = Project(root=root, settings=settings())
    project.__dict__["ledger"] = ledger
    return project


@contextmanager
def served(ledger: Ledger, root: Path) -> Iterator[str]:
    """The console over `ledger` in a thread of this process; its base URL."""
    with served_context(ConsoleContext(project=project_over(ledger, root))) as url:
        yield url


@contextmanager
def served_context(context: ConsoleContext) -> Iterator[str]:
    """The same of any project."""
    server = make_server(context)
    with listen(0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        while not server.started:
            time.sleep(0.01)
        yield url
        server.should_exit = True
        thread.join(timeout=10)


def leave_build_files(root: Path, one: Generation) -> None:
    """What the build leaves beside a run and a report: a loss curve, and wrong answers."""
    points = [CurvePoint(step=i, loss=6.0 / i + 0.1, learning_rate=0.002) for i in range(1, 601)]
    (root / ".flyball/curves").mkdir(parents=True)
    write_curve(root / f".flyball/curves/{fingerprint(one.run)}.json", points)
    wrong = {"suite": "test", "item": "r1", "expected": "refund", "error": None, "label": "refund"}
    details = {
        "labels": [{"suite": "test", "label": "refund", "n": 31, "answered": 9, "recall": 0.29, "f1": 0.4}],
        "label_examples": [wrong | {"text": "where is <b>my</b> money", "answer": "order status"}],
        "examples": [],
    }
    folder = root / ".flyball/reports" / fingerprint(one.report)
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"id": "x", "details": details}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A served console, and what its ledger holds."""

    url: str
    ledger: Ledger
    shop: console_shop.Shop

    def get(self, path: str, **options: Any) -> httpx.Response:
        """One answer of the console."""
        return httpx.get(self.url + path, timeout=30, **options)
