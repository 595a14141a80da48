"""What happened to a request, as its record and in the metrics."""

from __future__ import annotations

import time
from dataclasses import MISSING, fields
from typing import Any

import msgspec

from flyball.cost.prices import highest_usd, request_usd
from flyball.gateway.request_parsing import PATHS, ParsedRequest
from flyball.gateway.routing import ArmView
from flyball.gateway.upstream.call import UpstreamFailure
from flyball.gateway.upstream.client import EndpointClient
from flyball.gateway.upstream.sse import AnswerContent
from flyball.gateway.worker_state import WorkerState
from flyball.records import RequestRecord
from flyball.telemetry import log

Written: Any = msgspec.defstruct(
    "Written",
    [
        (field.name, object) if field.default is MISSING else (field.name, object, field.default)
        for field in fields(RequestRecord)
    ],
    kw_only=True,
    gc=False,
)
"""A RequestRecord on its way into a segment: the same fields, made and encoded in a fifth of the time."""


class RequestTrace:
    """What happened to a request so far."""

    __slots__ = (
        *("arm", "attempts", "cause", "endpoint", "fallback", "first_at", "headers", "longest_gap_s", "queue_s"),
        "tally",
    )

    def __init__(self, tally: AnswerContent, arm: ArmView, headers: bytes = b"") -> None:
        self.tally, self.arm, self.headers = tally, arm, headers
        self.attempts = 0
        self.queue_s = self.first_at = self.longest_gap_s = 0.0
        self.endpoint = ""
        self.fallback: str | None = None
        self.cause: str | None = None  # why it failed last, in our own words

    def blame(self, state: WorkerState, ask: ParsedRequest, client: EndpointClient, failure: UpstreamFailure) -> None:
        """Keep why an endpoint failed this request, and log it: once a minute for each endpoint and cause."""
        endpoint = client.endpoint.id
        if state.troubles is not None:
            path, route = PATHS[ask.kind].decode(), ask.view.route.name
            state.troubles.note(endpoint=endpoint, route=route, path=path, cause=failure.cause, request=ask.id)
        self.cause = f"{failure.cause} ({endpoint})"
        silent = state.complaints.due(endpoint, failure.cause)
        if silent is not None:
            more = f"; {silent} times more since this was said last" if silent else ""
            log.warning("%s at %s failed: %s%s", endpoint, client.destination.place, failure.cause, more)


def request_record(
    state: WorkerState,
    ask: ParsedRequest,
    story: RequestTrace,
    *,
    outcome: str,
    status: int,
    error: str | None,
    mirrors: str | None = None,
) -> RequestRecord:
    """The record of a request as it stands now, as Written.

    Its `error` is a code: an engine's own words may quote the prompt.
    """
    owner = ask.arm if story.fallback else story.arm
    arm = owner.arm
    tally, now = story.tally, time.monotonic()
    if story.fallback and error != story.fallback:
        error = f"{story.fallback};{error}"
    state.reckoner.settle(
        tally,
        ask.body,
        model=f"{ask.view.route.name} {story.arm.key}",
        release=story.arm.arm.prompt_path,
        embedding=ask.kind == "embedding",
        asked=outcome == "aborted" and story.attempts > 0,  # the engine had read the prompt, but did not come to say so
    )
    first_ms = gap_ms = None
    if story.first_at:
        first_ms, gap_ms = _ms(story.first_at - ask.began), _ms(story.longest_gap_s)
    record: RequestRecord = Written(
        id=ask.id,
        project=state.context.project,
        route=ask.view.route.name,
        release=arm.release,
        answered_by=story.arm.arm.release if story.arm is not owner else None,
        deployment=arm.deployment,
        variant=arm.variant,
        endpoint=story.endpoint,
        key_id=ask.principal.id,
        team=ask.principal.team,
        subject=ask.subject,
        conversation=ask.conversation,
        client_id=ask.client_id,
        unit=ask.unit,
        started_ms=ask.started_ms,
        queue_ms=_ms(story.queue_s),
        first_token_ms=first_ms,
        total_ms=_ms(now - ask.began),
        longest_gap_ms=gap_ms,
        attempts=story.attempts,
        status=status,
        outcome=outcome,
        error=error,
        finish_reason=tally.finish_reason,
        stream=ask.stream,
        prompt_tokens=tally.prompt_tokens,
        completion_tokens=tally.completion_tokens,
        cost_usd=cost_of(state, story),
        mirrors=mirrors,
        forced=ask.forced,
        kind=ask.kind,
        cause=story.cause if error is not None else None,
        estimated=tally.estimated,
    )
    return record


def count(state: WorkerState, record: RequestRecord) -> None:
    """A record in the metrics."""
    numbers = state.metrics.arm(record.route, record.release, record.variant)
    numbers.add(
        outcome=record.outcome,
        status=record.status,
        total_s=record.total_ms / 1000,
        queue_s=record.queue_ms / 1000,
        first_token_s=None if record.first_token_ms is None else record.first_token_ms / 1000,
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
        cost_usd=record.cost_usd,
    )


def cost_of(state: WorkerState, story: RequestTrace) -> float:
    """Dollars for the tokens so far."""
    tally = story.tally
    return request_usd(
        state.context.cost,
        prompt_tokens=tally.prompt_tokens,
        completion_tokens=tally.completion_tokens,
        cached_tokens=tally.cached_tokens,
        reasoning_tokens=tally.reasoning_tokens,
        own=story.arm.arm.usd_per_million,
    )


def most_usd(state: WorkerState, ask: ParsedRequest, prompt_tokens: int, completion_tokens: int) -> float:
    """Dollars for so many tokens where they cost most of all that may answer: what a budget sets aside."""
    cost, own = state.context.cost, ask.arm.arm.usd_per_million
    usd = highest_usd(cost, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, own=own)
    for view in ask.view.trusted:
        if (other := view.arm.usd_per_million) != own:
            price = highest_usd(cost, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens, own=other)
            usd = max(usd, price)
    return usd


def _ms(seconds: float) -> float:
    """To the microsecond; round() takes four times as long."""
    return int(seconds * 1e6 + 0.5) / 1000 if seconds > 0 else 0.0
