"""A model that no route has may be new at a server: its list is asked for again, at most now and then. I/O: one file.

Only where servers list their models (`RoutingTable.listed`); who asks them is the process that publishes the table.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.gateway.request_parsing import Kind, ParsedRequest, understand
from flyball.gateway.worker_state import WorkerState
from flyball.storage.routing import wish_of
from flyball.telemetry import log

AGAIN_S: Final = 5.0
"""Between two wishes of a worker: unknown names cost nobody more."""
WAIT_S: Final = 1.5
LOOK_S: Final = 0.05


async def once_listed(state: WorkerState, exchange: Exchange, kind: Kind, unknown: HttpRefusal) -> ParsedRequest:
    """The request, once a new list names its model; `unknown` when none does."""
    if not await listed_anew(state):
        raise unknown
    return understand(state, exchange, kind)


async def listed_anew(state: WorkerState) -> bool:
    """Wait a moment for a new table; whether one came."""
    table, now = state.routes.table, time.monotonic()
    if table is None or not table.listed:
        return False
    if now >= state.wish_at + AGAIN_S:
        state.wish_at = now
        try:
            wish_of(state.context.routes_path).write_bytes(b"%d" % time.time_ns())
        except OSError as error:
            log.warning("no wish for a model could be left: %s", error)
            return False
    while time.monotonic() < state.wish_at + WAIT_S:
        await asyncio.sleep(LOOK_S)
        state.reload_routes()
        if state.routes.table is not table:
            return True
    return False
