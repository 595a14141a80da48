"""POST /v1/feedback: what somebody says of an answer, on disk before it is acknowledged.

The id of a feedback follows from what it says of what, so that sending it twice says it once. A request id is checked
by its MAC alone: any worker can do that at once, before the request itself is in the ledger.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import msgspec
from msgspec import Meta

from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.gateway.recording.segment_format import FeedbackEntry
from flyball.gateway.worker_state import WorkerState, unrecorded
from flyball.records import Feedback
from flyball.records.identity import derived_id, is_genuine, keyed_hash, uuid7
from flyball.security.permissions import may
from flyball.security.principals import LOCAL, Principal

DURABLE_S = 5.0
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL has no text with one: what it can never take in would stop all that stands behind it."""
_NO_TIME = uuid7(now_ms=0, random=0)
"""The parent of a feedback that names its request by the caller's own id: one without a time."""


class FeedbackBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the two ids, and at least one thing said."""

    request_id: Annotated[str, Meta(max_length=64)] | None = None
    client_id: Annotated[str, Meta(min_length=1, max_length=512)] | None = None
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    label: Annotated[str, Meta(min_length=1, max_length=200, pattern=NO_NUL)] | None = None
    correction: Annotated[str, Meta(max_length=100_000)] | None = None
    comment: Annotated[str, Meta(max_length=20_000)] | None = None
    judge: Annotated[str, Meta(min_length=1, max_length=100, pattern=NO_NUL)] | None = None


_DECODER = msgspec.json.Decoder(FeedbackBody)


async def take_feedback(state: WorkerState, exchange: Exchange) -> None:
    """Check, write, make durable, acknowledge with 202. It counts among its key's requests a minute."""
    principal = state.access.principal(exchange)
    admission = state.limits.admit(principal, tokens=0, usd=0.0, seats=0.0)
    if admission is None:
        admission = await state.limits.admitted(principal, tokens=0, usd=0.0, seats=0.0)
    try:
        await _take(state, exchange, principal, admission.headers)
    finally:
        admission.settle(tokens=0, usd=0.0)


async def _take(state: WorkerState, exchange: Exchange, principal: Principal, headers: bytes) -> None:
    if not may(principal, "give_feedback"):
        raise HttpRefusal(403, "this key may not give feedback", code="forbidden")
    body = read_body(exchange.body)
    if body.judge is not None:
        check_judge(principal, body)
    if body.request_id is not None:
        check_owner(state, principal, body.request_id)
    entry = feedback_entry(state, principal, body)
    if not await _durably(state, entry):
        raise unrecorded()
    answer = {"id": entry.feedback.id, "object": "feedback", "request_id": body.request_id, "client_id": body.client_id}
    exchange.answer(202, msgspec.json.encode(answer), headers=headers)


def read_body(raw: bytes) -> FeedbackBody:
    """The body; 400 says what is wrong with which field."""
    try:
        body = _DECODER.decode(raw)
    except msgspec.ValidationError as error:
        raise HttpRefusal(400, f"feedback: {str(error).replace('`$.', '`')}", code="invalid_feedback") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HttpRefusal(400, f"the body is not JSON: {error}", code="invalid_json") from error
    if (body.request_id is None) == (body.client_id is None):
        raise HttpRefusal(
            400,
            "feedback names its request by either request_id or client_id",
            code="invalid_feedback",
            param="request_id",
        )
    if body.score is None and not (body.label or body.correction or body.comment):
        raise HttpRefusal(
            400,
            "feedback says at least one of score, label, correction, comment",
            code="invalid_feedback",
            param="score",
        )
    return body


def check_owner(state: WorkerState, principal: Principal, request: str) -> None:
    """404 for an id that no key of ours made, 403 for one of another team's key, unless an admin asks."""
    if is_genuine(state.mac_key, principal.id, request):
        return
    teams = state.access.keyring.teams
    owner = next((id for id in (*teams, LOCAL.id) if is_genuine(state.mac_key, id, request)), None)
    if owner is None:
        raise HttpRefusal(404, "no request has this id", code="request_not_found", param="request_id")
    same_team = principal.team is not None and teams.get(owner) == principal.team
    if not (same_team or may(principal, "give_feedback_to_any")):
        raise HttpRefusal(403, "another key made this request", code="forbidden", param="request_id")


def check_judge(principal: Principal, body: FeedbackBody) -> None:
    """Verdicts promote releases, so 403 for a key that is no admin's, and 400 for a verdict that says nothing."""
    if not may(principal, "judge"):
        raise HttpRefusal(
            403,
            "only an admin key may judge answers; leave out judge to say what a user thinks",
            code="forbidden",
            param="judge",
        )
    if body.score is None and not (body.label or body.correction):
        raise HttpRefusal(
            400,
            "a verdict gives a score, or the right answer as label or correction",
            code="invalid_feedback",
            param="score",
        )


def feedback_entry(state: WorkerState, principal: Principal, body: FeedbackBody) -> FeedbackEntry:
    """What is written; the same id for the same words of the same caller about the same request."""
    client_id = keyed_hash(state.row_key, "client_id", body.client_id) if body.client_id else None
    return FeedbackEntry(
        feedback=Feedback(
            id=feedback_id(state.mac_key, principal.id, client_id, body),
            project=state.context.project,
            request=body.request_id,
            client_id=client_id,
            key_id=principal.id,
            score=body.score,
            label=body.label,
            has_correction=bool(body.correction),
            has_comment=bool(body.comment),
            at_ms=time.time_ns() // 1_000_000,
            judge=body.judge,
        ),
        correction=body.correction or None,
        comment=body.comment or None,
    )


def feedback_id(mac_key: bytes, key_id: str, client_id: str | None, body: FeedbackBody) -> str:
    """The same id for the same words of the same caller about the same request."""
    said: tuple[object, ...] = (key_id, client_id, body.score, body.label, body.correction, body.comment)
    if body.judge is not None:
        said += (body.judge,)
    return derived_id(mac_key, body.request_id or _NO_TIME, msgspec.json.encode(said))


async def _durably(state: WorkerState, entry: FeedbackEntry) -> bool:
    """Whether the entry is on disk now, power cut or not."""
    if not state.record(entry, "feedback"):
        return False
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bool] = loop.create_future()

    def settle(good: bool) -> None:
        if not done.done():
            done.set_result(good)

    def tell(good: bool) -> None:
        loop.call_soon_threadsafe(settle, good)

    state.writer.durable(state.writer.written, tell)
    try:
        return await asyncio.wait_for(done, DURABLE_S)
    except TimeoutError:
        return False
