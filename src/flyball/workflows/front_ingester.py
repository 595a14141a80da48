"""The ingester beside a gateway without a project: segments to the ledger. I/O: the state folder, signals.

Run as `python -m flyball.workflows.front_ingester STATE RECORDING GATEWAY`, with settings as JSON and a pid. It ends
when it is told to, or when the gateway that started it dies.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

import msgspec

from flyball.gateway.config import RecordingConfig
from flyball.gateway.ingest import run_ingester
from flyball.gateway.yielding import give_way
from flyball.workflows.front_state import ingest_context, open_state, state_key
from flyball.workflows.processes import PR_SET_PDEATHSIG, told_to_stop


def main(state: Path, recording: RecordingConfig, gateway: int) -> None:
    """Take segments in until told to stop."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    stop = told_to_stop()
    give_way()
    if os.getppid() == gateway:  # it may have died before we could ask
        run_ingester(ingest_context(state, recording, state_key(state), open_state(state)), stop=stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=RecordingConfig), int(sys.argv[3]))
