"""One valid record of each kind that tests vary: `request_record(release=…)`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flyball.records import Deployment, Feedback, RequestRecord
from flyball.records.identity import uuid7

RELEASE = "a" * 64
DECISION = "b" * 64


def request_record(**changes: Any) -> RequestRecord:
    """An answered request."""
    record = RequestRecord(
        id=uuid7(),
        project="shop",
        route="shop",
        release=RELEASE,
        deployment=None,
        variant="live",
        endpoint="engine-1",
        key_id="local",
        team=None,
        subject=None,
        conversation=None,
        client_id=None,
        unit="u" * 64,
        started_ms=1_790_000_000_000,
        queue_ms=0.5,
        first_token_ms=10.0,
        total_ms=30.0,
        longest_gap_ms=2.0,
        attempts=1,
        status=200,
        outcome="ok",
        error=None,
        finish_reason="stop",
        stream=False,
        prompt_tokens=20,
        completion_tokens=3,
        cost_usd=0.001,
    )
    return replace(record, **changes)


def feedback_record(**changes: Any) -> Feedback:
    """A liked answer."""
    record = Feedback(
        id=uuid7(),
        project="shop",
        request=uuid7(),
        client_id=None,
        key_id="local",
        score=1.0,
        label=None,
        has_correction=False,
        has_comment=False,
        at_ms=1_790_000_000_500,
    )
    return replace(record, **changes)


def deployment_record(**changes: Any) -> Deployment:
    """A wish to make a release live."""
    record = Deployment(
        id=uuid7(),
        project="shop",
        route="shop",
        release=RELEASE,
        decision=DECISION,
        strategy="blue-green",
        plan={},
        replaces=None,
        requested_by="local",
        reason="a test",
    )
    return replace(record, **changes)
