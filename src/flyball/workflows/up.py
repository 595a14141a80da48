"""`flyball up`: starts every process of one machine, restarts what dies, drains on ctrl-c. I/O: processes, ports, logs.

The gateway, the ingester, the console and control are children that end with the supervisor; engines belong to control,
outlive both, and are ended here on an orderly stop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING

from flyball.errors import RefusedError
from flyball.inference.http_client import answers, beside
from flyball.supervision.ports import LOOPBACK, free_port
from flyball.supervision.restart_policy import Restarts
from flyball.supervision.run_file import RunFile, remove_note, write_note
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.monitoring.route_diagnosis import RouteDiagnosis
    from flyball.security.principals import Keyring

LARGEST_LOG = 10_000_000


@dataclass
class Child:
    """One process to keep alive."""

    name: str
    arguments: list[str]
    process: subprocess.Popen[bytes] | None = None
    restarts: Restarts = field(default_factory=Restarts)


@dataclass
class Supervisor:
    """Keeps the children of one project alive until it is told to stop."""

    project: Project
    host: str
    port: int
    console_port: int
    say: Callable[[str], None]
    children: list[Child] = field(default_factory=list)
    stopping: bool = False

    def start(self) -> None:
        """Start everything; the gateway last, when it has something to route to."""
        workers = self.project.settings.gateway.workers
        edge = ["--host", self.host, "--port", str(self.port)]
        self.children = [
            Child("control", ["control"]),
            Child("ingester", ["ingester"]),
            *(Child(f"gateway-{n}", ["gateway", "--worker", str(n), *edge]) for n in range(workers)),
            Child("console", ["console", "--port", str(self.console_port)]),
        ]
        for child in self.children:
            self.spawn(child, again=False)
        self.note()

    def spawn(self, child: Child, *, again: bool) -> None:
        log = self.project.places.logs / f"{child.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        mode = "wb" if log.is_file() and log.stat().st_size > LARGEST_LOG else "ab"
        with log.open(mode) as output:
            child.process = subprocess.Popen(
                [sys.executable, "-m", "flyball", "process", *child.arguments, "-C", str(self.project.root)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # ctrl-c reaches the supervisor alone, which drains in order
                env={**os.environ, "FLYBALL_SUPERVISOR": str(os.getpid())},
            )
        child.restarts.starts(time.monotonic(), again=again)

    def watch(self) -> None:
        """Restart what died, after a pause that grows while it keeps dying."""
        now = time.monotonic()
        for child in self.children:
            assert child.process is not None
            if child.process.poll() is None:
                child.restarts.lives(now)
                continue
            if not child.restarts.may_start(now):
                continue
            self.say(f"{child.name} ended with {child.process.returncode}; restarting it")
            self.spawn(child, again=True)
            self.note()

    def note(self) -> None:
        """Leave the process ids where `flyball status` and tests find them."""
        note = RunFile(
            pid=os.getpid(),
            gateway=f"http://{self.host}:{self.port}",
            console=f"http://127.0.0.1:{self.console_port}",
            processes={child.name: child.process.pid for child in self.children if child.process},
        )
        write_note(self.project.places.run, note)

    def stop(self) -> None:
        """Drain: the gateway first, then what records, then control, then the engines."""
        drain_s = self.project.settings.gateway.drain_s + 5.0
        for kind in ("gateway", "ingester", "console", "control"):
            group = [child for child in self.children if child.name.startswith(kind)]
            for child in group:
                if child.process and child.process.poll() is None:
                    child.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + drain_s
            for child in group:
                end(child, deadline)
        stop_engines(self.project)
        remove_note(self.project.places.run)


def end(child: Child, deadline: float) -> None:
    """Wait for a child until the deadline, then kill it."""
    if child.process is None:
        return
    try:
        child.process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        child.process.kill()
        child.process.wait()


def stop_engines(project: Project) -> None:
    from flyball.serving.engine_processes import running_engines, stop_engine

    for handle in running_engines(project.places.run):
        stop_engine(handle, grace_s=2.0)


def up(
    project: Project,
    *,
    host: str | None,
    port: int | None,
    console_port: int | None,
    say: Callable[[str], None],
    ready: Callable[[Supervisor], None],
) -> None:
    """Serve until SIGINT or SIGTERM, then drain."""
    gateway = project.settings.gateway
    address = host or gateway.host
    check_address(project, address)
    from flyball.workflows.build_lock import only_one

    with only_one(project.places.run / "up.lock", what="`flyball up`", wait=False, say=say):
        supervisor = Supervisor(
            project=project,
            host=address,
            port=free_port(address, gateway.port if port is None else port, "gateway.port"),
            console_port=free_port(
                "127.0.0.1", project.settings.console.port if console_port is None else console_port, "console.port"
            ),
            say=say,
        )
        check_key_and_ledger(project, say)

        def told(_number: int, _frame: FrameType | None) -> None:
            supervisor.stopping = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, told)
        supervisor.start()
        try:
            wait_until_ready(supervisor, ready)
            while not supervisor.stopping:
                supervisor.watch()
                time.sleep(0.1)
            say("draining …")
        finally:
            supervisor.stop()


def check_key_and_ledger(project: Project, say: Callable[[str], None]) -> None:
    """Say here, not in a child's log, that the key is missing or the ledger does not answer.

    A gateway that knows its last keys can serve without the ledger, from the last routes and engines.
    """
    from flyball.storage.database_errors import LedgerAway

    try:
        if project.key:
            project.ledger.close()
    except LedgerAway as error:
        if kept_keyring(project) is None:
            raise
        say(f"warning: {error.message}; serving goes on with the last keys and routes, and nothing else does")


def kept_keyring(project: Project) -> Keyring | None:
    """The keys as a gateway of this project last read them."""
    from flyball.security.keyring_file import FILE, kept

    found = kept(project.places.run / FILE, project.key, project=project.name)
    return None if found is None else found[0]


def nothing_to_serve(project: Project) -> RouteDiagnosis | None:
    """Why no release is live; None where one is, and where the ledger does not say."""
    from flyball.monitoring.route_diagnosis import nothing_serves
    from flyball.storage.database_errors import LedgerAway

    try:
        return nothing_serves(project.ledger, project.name)
    except LedgerAway:
        return None
    finally:
        project.ledger.close()


def wait_until_ready(supervisor: Supervisor, ready: Callable[[Supervisor], None]) -> None:
    """Call `ready` once the gateway answers."""
    gateway = beside(f"http://{supervisor.host}:{supervisor.port}", timeout_s=1.0)
    while not supervisor.stopping:
        supervisor.watch()
        if answers(gateway):
            ready(supervisor)
            return
        time.sleep(0.05)


def check_address(project: Project, host: str) -> None:
    """Refuse to open the gateway to other machines while everybody would be an administrator."""
    if host in LOOPBACK:
        return
    from flyball.security.principals import load_keyring
    from flyball.storage.database_errors import LedgerAway

    keyring: Keyring | None
    try:
        keyring = load_keyring(project.ledger)
    except LedgerAway:
        keyring = kept_keyring(project)
    if keyring is None or keyring.empty:
        raise RefusedError(
            f"binding to {host} without an API key would let anybody in",
            cure="create one first: flyball key create NAME --admin",
        )
