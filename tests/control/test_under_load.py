"""Switches, rollbacks and a killed engine under load, through a real gateway: no request fails."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_shop import Shop, passes
from flyball.rollout.deployments import rollback
from flyball.serving.engine_processes import running_engines

GATEWAY = Path(__file__).parents[1] / "support" / "gateway_process.py"


class Load:
    """Clients that ask without pause, and what they were answered: (status, release) counted."""

    def __init__(self, port: int, *, clients: int = 3) -> None:
        self.port, self.answers, self.stop = port, Counter[tuple[object, str]](), threading.Event()
        self.threads = [threading.Thread(target=self._ask_on) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _ask_on(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        body = json.dumps({"model": "shop", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4})
        while not self.stop.is_set():
            try:
                connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                status: object = answer.status if answer.status == 200 else f"{answer.status} {text[:200]!r}"
                self.answers[status, answer.headers.get("x-flyball-release", "")] += 1
            except (OSError, http.client.HTTPException) as error:
                self.answers[repr(error), ""] += 1
                connection.close()

    def seen(self, release: str) -> int:
        return self.answers[200, release]

    def end(self) -> dict[object, int]:
        """Everything that was not answered well."""
        self.stop.set()
        for thread in self.threads:
            thread.join()
        return {status: count for (status, _), count in self.answers.items() if status != 200}


@pytest.fixture
def port(shop: Shop, ledger_url: str) -> Iterator[int]:
    (shop.root / "run").mkdir(parents=True, exist_ok=True)
    arguments = [sys.executable, str(GATEWAY), "0", str(shop.root / "run"), ledger_url, "0"]
    with (shop.root / "gateway.log").open("wb") as log:
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(20)
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_switches_rollbacks_and_a_killed_engine_fail_no_request(shop: Shop, port: int) -> None:
    one, two, three = (shop.release(name) for name in ("one", "two", "three"))
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one and bool(shop.arms()["live"][2]))
    load = Load(port)
    try:
        passes(context, lambda: load.seen(one) > 0)
        load.answers.clear()  # until the gateway had read its first routes
        passes(context, lambda: load.seen(one) > 20)
        shop.deploy(two)
        passes(context, lambda: load.seen(two) > 20)
        rollback(shop.ledger, "shop", requested_by="local", reason="a test")
        before = load.seen(one)
        passes(context, lambda: load.seen(one) > before + 20)
        passes(context, lambda: [handle.release for handle in running_engines(context.run_dir)] == [one])
        shop.deploy(three)
        passes(context, lambda: load.seen(three) > 20)
        (victim,) = [handle for handle in running_engines(context.run_dir) if handle.release == three]
        os.kill(victim.pid, signal.SIGKILL)
        before = load.seen(one)
        passes(context, lambda: shop.live() == one and load.seen(one) > before + 20)
    finally:
        failures = load.end()
    assert not failures
