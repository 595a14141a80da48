"""One answer's whole story: what was said, how long it took, and every record that led to it. I/O: reads the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from sqlalchemy import select

from flyball.console import text_formats
from flyball.console.conversation import Turn, turns
from flyball.console.evidence import bound_sentence, deciding
from flyball.console.record_facts import TITLES, VERDICTS, Fact, State, facts, link
from flyball.console.request_list import TONES, in_a_word
from flyball.errors import NotFoundError
from flyball.records import Deployment, Feedback, GateDecision, ModelVersion, Release, RequestRecord, TrainingRun
from flyball.storage import tables, traffic
from flyball.storage.ledger import Ledger, Stored

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A piece of an answer's time, as a bar from `start` to `end` (shares of the whole)."""

    label: str
    key: str
    duration_ms: float
    start: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Feedback with its redacted texts."""

    record: Feedback
    verdict: str
    correction: str | None
    comment: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One record on the way back from the answer; `facts` is empty when the ledger does not have it."""

    title: str
    verb: str
    name: str
    href: str
    at_ms: int | None
    facts: tuple[Fact, ...]
    tone: State
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPage:
    """Everything on the page of one request."""

    record: RequestRecord
    tone: State
    turns: tuple[Turn, ...]
    has_payload: bool
    phases: tuple[Phase, ...]
    feedback: tuple[Said, ...]
    chain: tuple[Link, ...]


def read_story(ledger: Ledger, name: str) -> RequestPage:
    """The story of the request `name`; NotFoundError when there is none."""
    record = traffic.get_request(ledger, name)
    payload = traffic.payload_of(ledger, name)
    redacted = payload.redacted if payload else None
    return RequestPage(
        record=record,
        tone=TONES[record.outcome],
        turns=turns(redacted),
        has_payload=redacted is not None,
        phases=phases(record),
        feedback=tuple(_said(ledger, feedback) for feedback in traffic.feedback_of(ledger, name)),
        chain=tuple(_chain(ledger, record)),
    )


def phases(record: RequestRecord) -> tuple[Phase, ...]:
    """Waiting for a slot, the engine up to its first token, and the rest, one after the other."""
    queue = min(record.queue_ms, record.total_ms)
    first = record.total_ms if record.first_token_ms is None else min(record.first_token_ms, record.total_ms)
    first = max(first, queue)
    whole = record.total_ms or 1.0
    label = "engine" if record.first_token_ms is None else "engine, to the first token"
    cuts = [("waiting for a slot", "queue", 0.0, queue), (label, "first", queue, first)]
    if record.first_token_ms is not None:
        cuts.append(("rest of the answer", "rest", first, record.total_ms))
    return tuple(
        Phase(label=label, key=key, duration_ms=end - start, start=start / whole, end=end / whole)
        for label, key, start, end in cuts
    )


def _said(ledger: Ledger, feedback: Feedback) -> Said:
    payload = traffic.payload_of(ledger, feedback.id)
    texts: Any = {}
    if payload is not None and payload.redacted:
        try:
            texts = msgspec.json.decode(payload.redacted)
        except msgspec.DecodeError:
            texts = {"comment": payload.redacted}
    texts = texts if isinstance(texts, dict) else {"comment": payload.redacted if payload else None}
    return Said(
        record=feedback,
        verdict=in_a_word(feedback),
        correction=_string(texts.get("correction")),
        comment=_string(texts.get("comment")),
    )


def _string(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _chain(ledger: Ledger, request: RequestRecord) -> list[Link]:
    """From the release that answered back to the rows it was trained on."""
    links = [_link(ledger, "Release", "answered by", request.release)]
    release = _record(ledger, request.release, Release)
    deployment = _record(ledger, request.deployment, Deployment)
    if request.deployment:
        links.append(_link(ledger, "Deployment", "put there by", request.deployment))
    decision = _record(ledger, deployment.decision if deployment else None, GateDecision)
    if deployment:
        links.append(_link(ledger, "GateDecision", "admitted by", deployment.decision))
    if decision:
        links.append(_link(ledger, "EvalReport", "on the evidence of", decision.report))
    if release:
        links.append(_link(ledger, "ModelVersion", "made of", release.model))
    model = _record(ledger, release.model if release else None, ModelVersion)
    run = _record(ledger, model.training_run if model else None, TrainingRun)
    if model and model.training_run:
        links.append(_link(ledger, "TrainingRun", "trained in", model.training_run))
    dataset = (model.dataset if model else None) or (run.dataset if run else None)
    if dataset:
        links.append(_link(ledger, "DatasetVersion", "on the rows of", dataset))
    return links


def _record(ledger: Ledger, name: str | None, kind: type[R]) -> R | None:
    stored = _stored(ledger, name)
    return stored.record if stored is not None and isinstance(stored.record, kind) else None


def _stored(ledger: Ledger, name: str | None) -> Stored | None:
    if not name:
        return None
    try:
        return ledger.get(name)
    except NotFoundError:
        return None


def _link(ledger: Ledger, kind: str, verb: str, name: str) -> Link:
    stored = _stored(ledger, name)
    tone: State = "idle" if stored is None else "ok"
    note = "not in this ledger" if stored is None else ""
    if stored is not None and isinstance(stored.record, GateDecision):
        decision = stored.record
        check = deciding(decision)
        tone = VERDICTS[decision.verdict]
        note = f"{decision.verdict}: {bound_sentence(check)}" if check else decision.verdict
    erased = erased_effect(ledger, name)
    return Link(
        title=TITLES[kind],
        verb=verb,
        name=name,
        href=str(link(name)),
        at_ms=stored.at_ms if stored else None,
        facts=_own_facts(stored) if stored else (),
        tone="attention" if erased else tone,
        note=erased or note,
    )


def _own_facts(stored: Stored) -> tuple[Fact, ...]:
    """What the chain does not say already by its links and its note."""
    return tuple(fact for fact in facts(stored.record) if not fact.href and fact.label not in ("verdict", "decided by"))


def erased_effect(ledger: Ledger, name: str) -> str:
    """What an erasure did to this record, in one line; empty when nothing."""
    column = tables.erasures.c
    query = select(column.effect, column.new).where(column.project == ledger.project, column.old == name)
    with ledger.read() as connection:
        row = connection.execute(query.order_by(column.seq.desc()).limit(1)).one_or_none()
    if row is None:
        return ""
    after = f", replaced by {text_formats.brief(row.new)}" if row.new else ""
    return f"erasure: {row.effect}{after}"
