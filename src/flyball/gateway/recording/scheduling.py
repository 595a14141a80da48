"""How an ingester gives way on a machine with too few cores: answers come first, records a moment later.

I/O: Linux's scheduler, through a system call that Python has no name for.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import Final

NICENESS: Final = 5
SLICE_NS: Final = 100_000_000
"""The longest there is. From Linux 6.12 on who wakes up with a shorter slice interrupts who runs in a longer one.

Its share of the processor stays what it was: it is never starved, also not while it holds the ledger's lock.
"""
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")
"""Linux's sched_attr: size, policy, flags, niceness, priority, slice in ns, two for deadlines (sched_setattr(2))."""


def give_way() -> None:
    """Let this process be interrupted by whatever wakes up; where the kernel refuses, all stays as it was."""
    niceness = os.nice(NICENESS)
    number = _SCHED_SETATTR.get(platform.machine())
    if number is not None:
        attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, niceness, 0, SLICE_NS, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)
