"""The console as a process of its own: where it listens, how it ends, how small it stays."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import console_shop
from console_site import project_over
from flyball.console.cached_metrics import CachedMetrics, Figure
from flyball.console.context import ConsoleContext
from flyball.console.server import listen, run_console
from flyball.errors import EnvironmentMissing
from flyball.storage.ledger import open_ledger

PROGRAM = """
import sys
from pathlib import Path
from flyball.console.context import ConsoleContext
from flyball.console.server import run_console
from flyball.settings import parse_settings
from flyball.telemetry import configure_logging
from flyball.wiring import Project
configure_logging()
root = Path(sys.argv[1])
document = {"version": 1, "project": "shop", "data": {"sources": [{"path": "x.jsonl"}]}}
settings = parse_settings(document | {"ledger": {"url": f"sqlite:///{root}/ledger.db"}})
run_console(ConsoleContext(project=Project(root=root, settings=settings)), port=0)
"""


@pytest.fixture
def process(sqlite_template: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A console process over a filled ledger, and its URL from its log."""
    (tmp_path / "ledger.db").write_bytes(sqlite_template.read_bytes())
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", project="shop")
    console_shop.fill(ledger, requests=300)
    ledger.close()
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    found = re.search(r"http://127\.0\.0\.1:\d+", child.stderr.readline())
    assert found is not None
    for _ in range(200):
        try:
            httpx.get(found[0] + "/healthz", timeout=5)
            break
        except httpx.ConnectError:
            time.sleep(0.05)
    yield child, found[0]
    child.kill()
    child.wait()
    child.stderr.close()


def test_an_idle_console_takes_under_60_mb_and_a_used_one_little_more(
    process: tuple[subprocess.Popen[str], str],
) -> None:
    child, url = process
    assert resident_mb(child.pid) < 60
    for path in ("/", "/requests", "/deployments", "/findings", "/", "/charts/traffic-wide-light.svg"):
        httpx.get(url + path, timeout=30)
    assert resident_mb(child.pid) < 75


def test_it_listens_on_the_loopback_address_alone(process: tuple[subprocess.Popen[str], str]) -> None:
    port = int(process[1].rpartition(":")[2])
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening += [line.split() for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    ours = [row[1] for row in listening if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port]
    assert ours == [f"0100007F:{port:04X}"]


def test_a_termination_ends_it_in_order_and_soon(process: tuple[subprocess.Popen[str], str]) -> None:
    child, url = process
    httpx.get(url, timeout=30)
    began = time.monotonic()
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=10) in (0, -signal.SIGTERM)
    assert time.monotonic() - began < 5
    assert child.stderr is not None and "Traceback" not in child.stderr.read()


def test_a_port_in_use_is_told_with_its_cure(sqlite_template: Path, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(sqlite_template.read_bytes())
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", project="shop")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentMissing, match=f"port {port}") as caught:
            run_console(ConsoleContext(project=project_over(ledger, tmp_path)), port=port)
        assert "console.port" in caught.value.cure
    ledger.close()
    with listen(0) as free:
        assert free.getsockname()[0] == "127.0.0.1"


def test_a_slow_figure_holds_no_page_and_a_failed_one_keeps_the_last_value() -> None:
    release, answers = threading.Event(), iter([1, RuntimeError("the database went away"), 3])

    def make() -> object:
        release.wait(10)
        value = next(answers)
        if isinstance(value, Exception):
            raise value
        return value

    figure = Figure("test", make, threading.Lock())
    began = time.monotonic()
    assert figure.look(fresh_s=0, wait_s=0.05) is None
    assert time.monotonic() - began < 2
    release.set()
    assert eventually(figure, 1)
    assert figure.look(fresh_s=0, wait_s=0) == 1, "while or after the failure"
    assert eventually(figure, 3)


def test_a_figure_is_not_made_more_often_than_it_is_worth() -> None:
    made: list[float] = []

    def make() -> int:
        made.append(time.monotonic())
        time.sleep(0.1)
        return len(made)

    figure = Figure("test", make, threading.Lock())
    ends = time.monotonic() + 0.6
    while time.monotonic() < ends:
        figure.look(fresh_s=0, wait_s=1)
        time.sleep(0.01)
    assert len(made) == 1, "a tenth of a second of work is done at most once a second"


def test_figures_are_kept_by_name_for_each_release() -> None:
    kept = CachedMetrics(wait_s=5)
    assert kept._value("a", lambda: 1) == 1
    assert kept._value("b", lambda: 2) == 2
    assert kept._value("a", lambda: 3) == 1


def eventually(figure: Figure, value: object) -> bool:
    """Whether the figure comes to have this value."""
    for _ in range(500):
        if figure.look(fresh_s=0, wait_s=0.02) == value:
            return True
        time.sleep(0.01)
    return False


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
