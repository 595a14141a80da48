"""A gateway worker or an ingester as a process of its own, to be killed: gateway_process.py ROLE FOLDER URL PORT."""

from __future__ import annotations

import sys
from pathlib import Path

from flyball.cost.config import CostConfig
from flyball.gateway.config import GatewayConfig, RecordingConfig
from flyball.gateway.context import GatewayContext, IngestContext
from flyball.gateway.recording.ingester import run_ingester
from flyball.gateway.worker import run_gateway
from flyball.security.keys import ProjectKey
from flyball.storage.ledger import open_ledger

KEY = ProjectKey(bytes(range(32)))


def main(role: str, folder: Path, url: str, port: int) -> None:
    ledger = open_ledger(url, project="shop")
    if role == "ingester":
        run_ingester(
            IngestContext(
                recording=RecordingConfig(),
                project="shop",
                segments_dir=folder / "segments",
                project_key=KEY,
                ledger=ledger,
            )
        )
        return
    context = GatewayContext(
        config=GatewayConfig(port=port, workers=2, drain_s=3.0),
        cost=CostConfig(),
        project="shop",
        routes_path=folder / "routes.json",
        segments_dir=folder / "segments",
        project_key=KEY,
        ledger=ledger,
    )
    run_gateway(context, worker=int(role), on_ready=lambda bound: print(bound, flush=True))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
