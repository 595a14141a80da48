"""The processes that `flyball up` starts: each builds its context and runs until told. I/O: signals, everything.

A process ends with its supervisor, however that ends, so that a restart finds a clean machine; engines are not among
them.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import msgspec

from flyball.cost.config import CostConfig
from flyball.errors import FlyballError
from flyball.gateway.config import GatewayConfig
from flyball.gateway.context import GatewayContext, IngestContext
from flyball.gateway.settings_reload import Source
from flyball.security.keyring_file import FILE as KEYRING
from flyball.settings import FILE, load_settings, proxy_for, secret
from flyball.storage.ledger import reach_ledger
from flyball.supervision.parent_death import end_with_parent, ends_with
from flyball.supervision.stop_signal import told_to_stop
from flyball.telemetry import configure_logging, log
from flyball.wiring import Project


def start(project: Project, name: str, *, worker: int, host: str | None, port: int | None) -> None:
    """Run one process until SIGTERM."""
    end_with_supervisor(project)
    configure_logging()
    starters: dict[str, Callable[[], None]] = {
        "gateway": lambda: gateway(project, worker=worker, host=host, port=port),
        "ingester": lambda: ingester(project),
        "control": lambda: control(project),
        "console": lambda: console(project, port=port),
    }
    starters[name]()


def end_with_supervisor(project: Project) -> None:
    """Ask the kernel for SIGTERM when the supervisor dies (Linux); the first process of a container has none.

    Its parent is the container runtime: the signal would come when a thread of that ends.
    """
    parent = project.environment.get("FLYBALL_SUPERVISOR")
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the kernel drops what its handler is not there yet for
        return
    if parent:
        if not ends_with(int(parent)):
            sys.exit(0)  # it died before we could ask
    else:
        end_with_parent(signal.SIGTERM)


def gateway(project: Project, *, worker: int, host: str | None, port: int | None) -> None:
    """One worker of the gateway."""
    from flyball.gateway.worker import run_gateway

    config = project.settings.gateway
    config = msgspec.structs.replace(config, host=host or config.host, port=config.port if port is None else port)
    context = GatewayContext(
        config=config,
        cost=project.settings.cost,
        project=project.name,
        routes_path=project.places.routes,
        segments_dir=project.places.segments,
        project_key=project.key,
        ledger=reach_ledger(project.ledger_url, project=project.name),
        secrets=lambda reference: secret(reference, project.root, project.environment),
        proxy_for=lambda url: proxy_for(url, project.environment),
        settings=Source(path=project.root / FILE, read=lambda: _settings_now(project)),
        keyring_file=project.places.run / KEYRING,
        metrics_dir=project.places.run / "metrics",
    )
    run_gateway(context, worker=worker)


def _settings_now(project: Project) -> tuple[GatewayConfig, CostConfig]:
    settings = load_settings(project.root)
    return settings.gateway, settings.cost


def ingester(project: Project) -> None:
    """Segments to the ledger until told to stop, and then all that is there: its gateway has ended before it."""
    from sqlalchemy.exc import SQLAlchemyError  # a quarter of a second, which other processes need not wait

    from flyball.gateway.recording.ingester import ingest_once, run_ingester
    from flyball.gateway.recording.scheduling import give_way

    give_way()
    context = ingest_context(project)
    run_ingester(context, stop=told_to_stop())
    try:
        ingest_once(context)
    except (FlyballError, SQLAlchemyError, OSError) as error:
        log.error("segments wait in %s for the next start: %s", context.segments_dir, error)


def ingest_context(project: Project) -> IngestContext:
    """What an ingester of this project needs."""
    return IngestContext(
        recording=project.settings.gateway.recording,
        project=project.name,
        segments_dir=project.places.segments,
        project_key=project.key,
        ledger=project.ledger,
    )


def control(project: Project) -> None:
    """The reconciling loop."""
    from flyball.control.loop import run_control
    from flyball.workflows.control_jobs import control_context

    run_control(control_context(project))


def console(project: Project, *, port: int | None) -> None:
    """The web pages."""
    from flyball.console.context import ConsoleContext
    from flyball.console.server import run_console

    run_console(ConsoleContext(project=project), port=project.settings.console.port if port is None else port)
