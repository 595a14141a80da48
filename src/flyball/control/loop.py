"""The control process: passes until it is told to end. I/O: signals, and everything that a pass touches."""

from __future__ import annotations

import signal
import threading

from flyball.control.context import ControlContext
from flyball.control.reconcile import hand_over, step
from flyball.errors import FlyballError
from flyball.telemetry import log

PERIOD_S = 0.2
"""Short enough that `flyball rollback` is in effect within a second."""
LONGEST_PAUSE_S = 5.0


def run_control(context: ControlContext, stop: threading.Event | None = None) -> None:
    """Reconcile until SIGTERM or SIGINT (or until `stop` is set); an error is logged and the next pass tries again."""
    stop = stop or _told_to_stop()
    pause = PERIOD_S
    while not stop.is_set():
        try:
            step(context)
            pause = PERIOD_S
        except FlyballError as error:
            log.error("%s", error)
            pause = min(pause * 2, LONGEST_PAUSE_S)
        except Exception:  # noqa: BLE001 - the edge of the process: gateways go on with the last routes meanwhile
            log.exception("a pass failed; trying again in %.1f s", pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
        stop.wait(pause)
    hand_over(context)


def _told_to_stop() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
