"""What an engine gets, prepared here or, for a long text, beside the worker. I/O: a process, for long texts."""

from __future__ import annotations

from typing import Final

from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.gateway.long_texts import HelperAway
from flyball.gateway.request_parsing import ParsedRequest, check_endpoint, engine_payload
from flyball.gateway.routing import ArmView
from flyball.gateway.worker_state import WorkerState

MODERATE_BYTES: Final = 65_536
"""What the worker prepares itself where no process can: it keeps others waiting for moments, not for seconds."""


async def long_payload(state: WorkerState, ask: ParsedRequest, arm: ArmView) -> bytes:
    """As `engine_payload`, for a request whose preparation `takes_long`; 503 where nothing can do it now."""
    assert arm.path is not None
    check_endpoint(ask.kind, ask.view, arm)
    try:
        done = await state.long_texts.prepare(arm.key, arm.path.release, ask.kind, ask.raw, count=ask.stream)
    except HelperAway as error:
        if len(ask.raw) <= MODERATE_BYTES:
            return engine_payload(ask, arm)
        message = f"a text of this length cannot be prepared now, the process for that is away: {error}"
        retry = (("retry-after", "5"),)
        raise HttpRefusal(503, message, code="not_prepared", headers=retry) from error
    if done.status:
        raise HttpRefusal(done.status, done.message, code=done.code, param=done.param)
    ask.ignore(done.ignored)
    return done.payload
