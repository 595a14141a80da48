"""What happened to a request, as its record and in the metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass

from flyball.cost.prices import request_usd
from flyball.gateway.asking import Ask
from flyball.gateway.routing import ArmView
from flyball.gateway.state import WorkerState
from flyball.gateway.streams import Tally
from flyball.records import RequestRecord


@dataclass(slots=True)
class Story:
    """What happened to a request so far."""

    tally: Tally
    arm: ArmView
    attempts: int = 0
    queue_s: float = 0.0
    first_at: float = 0.0
    last_at: float = 0.0
    longest_gap_s: float = 0.0
    endpoint: str = ""
    error: str | None = None
    fallback: str | None = None
    headers: bytes = b""


def request_record(
    state: WorkerState, ask: Ask, story: Story, *, outcome: str, status: int, error: str | None
) -> RequestRecord:
    """The record of a request as it stands now. Its `error` is a code: an engine's own words may quote the prompt."""
    owner = ask.arm if story.fallback else story.arm
    tally, now = story.tally, time.monotonic()
    if story.fallback and error != story.fallback:
        error = f"{story.fallback};{error}"
    if not tally.prompt_tokens and (tally.deltas or (outcome == "aborted" and story.attempts)):
        tally.prompt_tokens = len(ask.raw) // 4  # the engine had read the prompt but has not counted it for us
    return RequestRecord(
        id=ask.id,
        project=state.context.project,
        route=ask.view.route.name,
        release=owner.arm.release,
        answered_by=story.arm.arm.release if story.arm is not owner else None,
        deployment=owner.arm.deployment,
        variant=owner.arm.variant,
        endpoint=story.endpoint,
        key_id=ask.principal.id,
        team=ask.principal.team,
        subject=ask.subject,
        conversation=ask.conversation,
        client_id=ask.client_id,
        unit=ask.unit,
        started_ms=ask.started_ms,
        queue_ms=_ms(story.queue_s),
        first_token_ms=_ms(story.first_at - ask.began) if story.first_at else None,
        total_ms=_ms(now - ask.began),
        longest_gap_ms=_ms(story.longest_gap_s) if story.first_at else None,
        attempts=story.attempts,
        status=status,
        outcome=outcome,  # type: ignore[arg-type]
        error=error,
        finish_reason=tally.finish_reason,
        stream=ask.stream,
        prompt_tokens=tally.prompt_tokens,
        completion_tokens=tally.completion_tokens,
        cost_usd=cost_of(state, story),
        forced=ask.forced,
    )


def count(state: WorkerState, record: RequestRecord) -> None:
    """A record in the metrics."""
    metrics, arm = state.metrics, (record.route, record.release[:12], record.variant)
    metrics.requests.add(*arm, record.outcome, str(record.status))
    metrics.seconds.observe(record.total_ms / 1000, *arm)
    metrics.queue.observe(record.queue_ms / 1000, *arm)
    if record.first_token_ms is not None:
        metrics.first_token.observe(record.first_token_ms / 1000, *arm)
    metrics.tokens.add(*arm, "prompt", by=record.prompt_tokens)
    metrics.tokens.add(*arm, "completion", by=record.completion_tokens)
    metrics.cost.add(*arm, by=record.cost_usd)


def cost_of(state: WorkerState, story: Story) -> float:
    """Dollars for the tokens so far."""
    tally = story.tally
    return request_usd(state.context.cost, prompt_tokens=tally.prompt_tokens, completion_tokens=tally.completion_tokens)


def _ms(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 3)
