"""A child that ends with its parent, however that ends. I/O: asks the kernel (Linux's prctl)."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Get signal `number` when the thread that started this process ends (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)


def ends_with(parent: int, number: int = signal.SIGTERM) -> bool:
    """The same for the parent with that pid; False where it has ended before the kernel could be asked."""
    end_with_parent(number)
    return os.getppid() == parent
