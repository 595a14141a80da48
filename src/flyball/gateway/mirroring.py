"""Mirror requests to a shadow: after the client's last byte, never answered from, bounded. I/O: sockets.

A share of the units (the same keyed hash that assigns units to arms, so that a larger share keeps the units of a
smaller one) is asked of the shadow again, through its own prompt path and without streaming. What it answers is
recorded as a request of its own that `mirrors` the first, and counts against nobody's limits or budgets. A worker keeps
at most MOST_AT_ONCE such requests in flight and drops the rest; one whose mirrored requests have cost the arm's
`max_usd` mirrors no more, whatever control does. A request is never mirrored twice: a shadow that fails has failed.
"""

from __future__ import annotations

import asyncio
import time

import msgspec

from flyball.errors import FlyballError
from flyball.gateway.engine_payloads import long_payload
from flyball.gateway.engine_prompt import takes_long
from flyball.gateway.http.coroutines import RequestCoroutine
from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.gateway.recording.request_record import RequestTrace, request_record
from flyball.gateway.recording.segment_format import RequestEntry
from flyball.gateway.request_parsing import PATHS, ParsedRequest, asked, engine_payload
from flyball.gateway.routing import ArmView, position
from flyball.gateway.upstream.call import Call, UpstreamFailure
from flyball.gateway.upstream.client import EndpointClient
from flyball.gateway.upstream.sse import AnswerContent
from flyball.gateway.upstream.status_codes import is_refusal
from flyball.gateway.worker_state import WorkerState
from flyball.records.identity import request_id
from flyball.telemetry import log

MOST_AT_ONCE = 8


def mirror(state: WorkerState, ask: ParsedRequest) -> None:
    """Ask the shadows of a route what was just answered, in a course of its own; never raises."""
    try:
        for arm in ask.view.shadows:
            if _wanted(state, ask, arm):
                _begin(state, ask, arm)
    except Exception:  # noqa: BLE001 - a shadow must never cost anybody an answer
        log.exception("a request could not be mirrored")
        state.metrics.errors.add()


def _wanted(state: WorkerState, ask: ParsedRequest, arm: ArmView) -> bool:
    """Whether this request is one of the arm's share, still wanted, and within the bounds."""
    view = state.routes.views.get(ask.view.route.name)
    served = view is not None and any(shadow.arm.deployment == arm.arm.deployment for shadow in view.shadows)
    if not served or ask.forced or ask.arm.arm.variant != "live" or state.draining or state.writer.failing:
        return False
    if position(ask.view.route.salt, ask.unit) >= arm.arm.weight:
        return False
    limit = arm.arm.max_usd
    labels = (ask.view.route.name, arm.arm.release[:12])
    if limit is not None and state.mirrored_usd.get(arm.arm.deployment or "", 0.0) >= limit:
        state.metrics.unmirrored.add(*labels, "cost")
        return False
    if len(state.mirrors) >= MOST_AT_ONCE:
        state.metrics.unmirrored.add(*labels, "busy")
        return False
    return True


def _begin(state: WorkerState, ask: ParsedRequest, arm: ArmView) -> None:
    now_ms = time.time_ns() // 1_000_000
    body = {name: value for name, value in ask.body.items() if name not in ("stream", "stream_options")}
    shadow = ParsedRequest(
        id=request_id(state.mac_key, ask.principal.id, now_ms=now_ms),
        kind=ask.kind,
        principal=ask.principal,
        body=body,
        raw=msgspec.json.encode(body) if ask.stream else ask.raw,
        view=ask.view,
        arm=arm,
        unit=ask.unit,
        forced=ask.forced,
        subject=ask.subject,
        conversation=None,  # nobody saw it: it belongs to no conversation, and no feedback can mean it
        client_id=None,
        stream=False,
        wants_usage=ask.wants_usage,
        started_ms=now_ms,
        began=time.monotonic(),
    )
    course = RequestCoroutine(_mirrored(state, shadow, of=ask.id), lambda ended, _bug: state.mirrors.discard(ended))
    state.mirrors.add(course)
    course.start()


async def _mirrored(state: WorkerState, ask: ParsedRequest, *, of: str) -> None:
    story = RequestTrace(tally=AnswerContent(ask.view.route.name), arm=ask.arm)
    outcome, status, error = "error", 502, None
    try:
        await _answer(state, ask, story)
        outcome, status = "ok", 200
    except UpstreamFailure as failure:
        error = failure.kind
    except HttpRefusal as refusal:
        outcome, status, error = ("error" if refusal.status >= 500 else "refused"), refusal.status, refusal.code
    except FlyballError as problem:
        error = problem.code
    except asyncio.CancelledError:
        return  # the worker stops: what was not answered yet says nothing about the shadow
    except Exception:  # noqa: BLE001 - the edge of a task
        log.exception("internal error while mirroring %s", of)
        state.metrics.errors.add()
        return
    _record(state, ask, story, of=of, outcome=outcome, status=status, error=error)


async def _answer(state: WorkerState, ask: ParsedRequest, story: RequestTrace) -> None:
    """One attempt, on one engine of the shadow; UpstreamFailure or HttpRefusal when it gives no answer."""
    config = state.context.config
    if takes_long(ask.arm.path, ask.raw):
        payload = await long_payload(state, ask, ask.arm)
    else:
        payload = engine_payload(ask, ask.arm)
    deadline = ask.began + config.queue_timeout_s
    target = await state.balancer.acquire(ask.arm, key="mirror", avoid=set(), deadline=deadline, patient=False)
    story.queue_s = time.monotonic() - ask.began
    story.attempts, story.endpoint = 1, target.client.endpoint.id
    try:
        call = await _called(target.client, PATHS[ask.kind], payload, until=ask.began + config.total_timeout_s)
        _understood(call, story)
        state.balancer.succeeded(target)
    except UpstreamFailure as failure:
        state.balancer.failed(target, failure)
        story.blame(state, ask, target.client, failure)
        raise
    finally:
        state.balancer.release(target)


async def _called(client: EndpointClient, path: bytes, payload: bytes, *, until: float) -> Call:
    """The whole answer of an engine; a pooled connection that it had closed already is replaced once."""
    for fresh in (False, True):
        call = await client.send(path, payload, fresh=fresh)
        try:
            call.limit("total", until)
            await call
        finally:
            call.cancel()
        if call.failure is None:
            return call
        if fresh or not call.failure.stale:
            raise call.take_failure()
    raise AssertionError("unreachable")


def _understood(call: Call, story: RequestTrace) -> None:
    if is_refusal(call.status):
        raise HttpRefusal(call.status, "the engine refused the request", code=f"engine_status:{call.status}")
    if call.status != 200:
        raise UpstreamFailure(f"status {call.status}", f"the engine answered {call.status}")
    chunk = story.tally.whole(call.body)
    if chunk is None or story.tally.error is not None:
        raise UpstreamFailure("malformed", "the engine's answer is not one")


def _record(
    state: WorkerState,
    ask: ParsedRequest,
    story: RequestTrace,
    *,
    of: str,
    outcome: str,
    status: int,
    error: str | None,
) -> None:
    """Keep what the shadow answered, under its own id; it is no traffic, so it has numbers of its own."""
    record = request_record(state, ask, story, outcome=outcome, status=status, error=error, mirrors=of)
    spent = state.mirrored_usd
    deployment = record.deployment or ""
    spent[deployment] = spent.get(deployment, 0.0) + record.cost_usd
    arm = (record.route, record.release[:12])
    state.metrics.mirrored.add(*arm, outcome)
    state.metrics.mirrored_seconds.observe(record.total_ms / 1000, *arm)
    state.metrics.mirrored_usd.add(*arm, by=record.cost_usd)
    profile = ask.arm.arm.prompt_path.input_redaction if ask.arm.arm.prompt_path else "default"
    entry = RequestEntry(
        record=record,
        messages=asked(ask),
        answer=story.tally.answer,
        choices=story.tally.choices,
        redaction=profile,
    )
    state.record(entry, "mirrored")
