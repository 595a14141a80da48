"""The ledger of a whole `flyball up` goes away: people are answered, what dies is started again, nothing is lost."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

from flyball.security.principals import create_key
from outages import database
from served import Served, add_release, make_project
from whole_hosts import Clients, eventually, recorded


def test_while_the_ledger_is_away_requests_are_answered_and_workers_and_engines_come_back(tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(database())
        project = make_project(tmp_path / "shop", ledger_url=server.url, gateway={"workers": 2})
        stack.callback(project.close)
        first, second = (add_release(project, prompt, slots=2) for prompt in ("first", "second"))
        _, secret = create_key(project.ledger, name="app")
        served = stack.enter_context(Served(project))
        served.go_live(first)
        clients = Clients(served, secret)
        eventually(lambda: clients.answered_by(first), timeout_s=20)

        project.ledger.engine.dispose()
        server.stop()
        before = len(clients.failures)
        assert clients.answered_by(first, times=40), clients.failures[before:]

        worker = served.note.processes["gateway-0"]
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: served.note.processes.get("gateway-0") not in (None, worker), timeout_s=20)
        engine = served.engines(ready=True)[0].pid
        os.kill(engine, signal.SIGKILL)
        eventually(lambda: any(one.pid != engine for one in served.engines(ready=True)), timeout_s=30)
        eventually(lambda: clients.answered_by(first), timeout_s=20)
        before = len(clients.failures)
        assert clients.answered_by(first, times=40), clients.failures[before:]

        server.start()
        eventually(lambda: clients.answered.keys() <= recorded(project).keys(), timeout_s=40)
        assert set(recorded(project).values()) == {1}
        served.deploy(second)
        eventually(lambda: clients.answered_by(second), timeout_s=40)
