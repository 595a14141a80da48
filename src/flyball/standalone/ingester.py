"""The ingester beside a gateway without a project: segments to the ledger. I/O: the state folder, signals.

Run as `python -m flyball.standalone.ingester STATE RECORDING GATEWAY`, with settings as JSON and a pid. It ends
when it is told to, or when the gateway that started it dies. Once a minute it lets go what is too old to keep, as
control does in a project.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from flyball.compliance.retention import expire
from flyball.errors import FlyballError
from flyball.gateway.config import RecordingConfig
from flyball.gateway.recording.ingester import run_ingester
from flyball.gateway.recording.scheduling import give_way
from flyball.standalone.state import ingest_context, open_state, state_key
from flyball.storage.ledger import Ledger, now_ms
from flyball.supervision.parent_death import ends_with
from flyball.supervision.stop_signal import told_to_stop
from flyball.telemetry import log

RETENTION_EVERY_S = 60.0


def main(state: Path, recording: RecordingConfig, gateway: int) -> None:
    """Take segments in until told to stop."""
    stop = told_to_stop()
    give_way()
    if ends_with(gateway):
        ledger = open_state(state)
        threading.Thread(target=_let_go, args=(ledger, recording.retention_days), daemon=True).start()
        run_ingester(ingest_context(state, recording, state_key(state), ledger), stop=stop)


def _let_go(ledger: Ledger, retention_days: float) -> None:
    while True:
        try:
            expire(ledger, now_ms(), retention_days=retention_days)
        except (FlyballError, SQLAlchemyError) as error:
            log.error("retention failed: %s", error)
        time.sleep(RETENTION_EVERY_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=RecordingConfig), int(sys.argv[3]))
