"""The control process: passes until it is told to end. I/O: signals, and everything that a pass touches."""

from __future__ import annotations

import ctypes
import signal
import threading
import time

from flyball.control.context import ControlContext
from flyball.control.reconciler import hand_over, step
from flyball.errors import FlyballError
from flyball.telemetry import log

PERIOD_S = 0.2
"""Short enough that `flyball rollback` is in effect within a second."""
LONGEST_PAUSE_S = 5.0
GIVE_BACK_EVERY_S = 30.0


def run_control(context: ControlContext, stop: threading.Event | None = None) -> None:
    """Reconcile until SIGTERM or SIGINT (or until `stop` is set); an error is logged and the next pass tries again."""
    stop = stop or _told_to_stop()
    pause, gave_back = PERIOD_S, time.monotonic()
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
        if time.monotonic() - gave_back >= GIVE_BACK_EVERY_S:
            give_back_memory()
            gave_back = time.monotonic()
        stop.wait(pause)
    hand_over(context)


def give_back_memory() -> None:
    """Return what is free to the system; a millisecond or two, and nothing where the C library cannot.

    Work beside the pass reads thousands of rows now and then, each time in a new thread. glibc keeps what that leaves
    free, in pieces and per thread, so that a process that runs for weeks would grow without holding anything.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _told_to_stop() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
