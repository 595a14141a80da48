"""SIGTERM and SIGINT as a flag that a loop looks at. I/O: signal handlers of this process."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType


def told_to_stop() -> Callable[[], bool]:
    """Whether SIGTERM or SIGINT has come since."""
    told = False

    def raise_flag(_number: int, _frame: FrameType | None) -> None:
        nonlocal told
        told = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, raise_flag)
    return lambda: told
