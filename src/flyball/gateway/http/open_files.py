"""How many clients a worker can hold: the kernel's limit on open files, raised as far as it may be. I/O: rlimits."""

from __future__ import annotations

import resource

MAX_CONNECTIONS = 4096
RESERVED = 128
"""For the ledger, segments, logs and the listening socket."""


def client_connections() -> int:
    """Connections of clients that fit, each of which may need one to an engine; a worker out of files stands still."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(16, min(MAX_CONNECTIONS, (hard - RESERVED) // 2))
