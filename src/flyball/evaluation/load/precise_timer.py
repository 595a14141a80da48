"""A timer of microseconds for an event loop, whose own timers count milliseconds. I/O: Linux's timerfd."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import time
from collections.abc import Callable

from flyball.errors import EnvironmentMissing

_CLOCK_MONOTONIC, _ABSOLUTE = 1, 1
_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC


class _Setting(ctypes.Structure):
    _fields_ = [
        ("every_s", ctypes.c_long),
        ("every_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    ]


class PreciseTimer:
    """Calls back at moments of time.monotonic(); one moment at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop, self._callback = loop, callback
        self._setting = _Setting()
        self._place = ctypes.byref(self._setting)
        try:
            library = ctypes.CDLL(None, use_errno=True)
            self._settime = library.timerfd_settime
            self._fd: int = library.timerfd_create(_CLOCK_MONOTONIC, _FLAGS)
        except AttributeError as error:
            raise EnvironmentMissing("this system has no timerfd", cure="run `flyball load` on Linux") from error
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        loop.add_reader(self._fd, self._ready)

    def arm(self, moment: float) -> None:
        """Call back then, or at once when that is over."""
        nanoseconds = int(max(moment, time.monotonic() + 1e-6) * 1e9)
        self._setting.at_s, self._setting.at_ns = divmod(nanoseconds, 1_000_000_000)
        self._settime(self._fd, _ABSOLUTE, self._place, None)

    def close(self) -> None:
        """Call back no more."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _ready(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        self._callback()
