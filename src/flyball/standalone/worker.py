"""A further worker of a gateway without a project: the same port, its own connections. I/O: sockets, signals.

Run as `python -m flyball.standalone.worker WORKER SPEC GATEWAY`, with the specification as JSON and a pid. It ends
when it is told to, or when the gateway that started it dies.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from flyball.cost.config import CostConfig
from flyball.gateway.config import GatewayConfig
from flyball.gateway.context import GatewayContext
from flyball.gateway.worker import run_gateway
from flyball.security.keyring_file import FILE as KEYRING
from flyball.settings import proxy_for, secret
from flyball.standalone.config import source_of
from flyball.standalone.state import PROJECT, open_state, state_key
from flyball.storage.ledger import Ledger
from flyball.supervision.parent_death import ends_with
from flyball.telemetry import configure_logging


class WorkerSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What every worker of one gateway without a project is given."""

    state: str
    gateway: GatewayConfig
    cost: CostConfig
    settings: str | None = None  # the configuration file, re-read when it changes


def worker_context(spec: WorkerSpec, ledger: Ledger) -> GatewayContext:
    """The world of one worker."""
    state = Path(spec.state)
    return GatewayContext(
        config=spec.gateway,
        cost=spec.cost,
        project=PROJECT,
        routes_path=state / f"routes-{spec.gateway.port}.json",  # another gateway may share the folder
        segments_dir=state / "segments",
        project_key=state_key(state),
        ledger=ledger,
        secrets=secret_of,
        proxy_for=proxy_for,
        settings=source_of(Path(spec.settings)) if spec.settings else None,
        keyring_file=state / KEYRING,
        metrics_dir=state / "metrics",
    )


def secret_of(reference: str) -> str:
    """The secret that env:NAME or file:PATH names, relative to the current folder."""
    return secret(reference, Path.cwd())


def main(worker: int, spec: WorkerSpec, gateway: int) -> None:
    """Serve until told to stop."""
    configure_logging()
    if ends_with(gateway):
        run_gateway(worker_context(spec, open_state(Path(spec.state))), worker=worker)


if __name__ == "__main__":
    main(int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=WorkerSpec), int(sys.argv[3]))
