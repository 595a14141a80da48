"""A ledger as a shop's would look after some days: generations of releases, traffic, findings, spend."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from console_generations import LABELS, PROJECT, TEXTS, Generation, digest, generation
from flyball.cost.charges import charge
from flyball.records import (
    Deployment,
    DeploymentState,
    Feedback,
    Finding,
    Proposal,
    RequestRecord,
    Transition,
    fingerprint,
)
from flyball.records.identity import uuid7
from flyball.storage import deployments, traffic
from flyball.storage.ledger import Ledger, now_ms
from traffic_rows import add_payload, add_request


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What was put into the ledger, for tests to look for."""

    old: Generation
    live: Generation
    candidate: Generation
    refused: Generation
    requests: tuple[RequestRecord, ...]
    open_deployment: Deployment
    live_deployment: Deployment
    finding: Finding


def fill(ledger: Ledger, *, requests: int = 900, seed: int = 7) -> Shop:
    """The whole shop."""
    old = generation(0, value=0.861)
    live = generation(1, value=0.883, baseline=old)
    candidate = generation(2, value=0.907, baseline=live)
    refused = generation(3, value=0.742, verdict="fail", baseline=live)
    for one in (old, live, candidate, refused):
        _append(ledger, one)
    first = _deploy(ledger, old, "blue-green", states=("requested", "starting", "live", "retired"))
    second = _deploy(ledger, live, "blue-green", states=("requested", "starting", "live"), replaces=first.id)
    third = _deploy(ledger, candidate, "canary", states=("requested", "starting", "ramping"), replaces=second.id)
    with ledger.begin() as connection:
        for one, deployment in ((old, first), (live, second)):
            deployments.move_pointer(connection, PROJECT, PROJECT, release=one.name, deployment=deployment.id)
    records = _traffic(ledger, requests, live, second, candidate, third, random.Random(seed))
    finding = _findings(ledger, old, live, records)
    for kind, usd, quantity in (("training", 0.00113, 41.0), ("evaluation", 0.00038, 14.0), ("idle", 0.0214, 770.0)):
        charge(ledger, kind=kind, subject=fingerprint(live.run), usd=usd, quantity=quantity)
    return Shop(
        old=old,
        live=live,
        candidate=candidate,
        refused=refused,
        requests=tuple(records),
        open_deployment=third,
        live_deployment=second,
        finding=finding,
    )


def _append(ledger: Ledger, one: Generation) -> None:
    for record in (one.dataset, one.run, one.model, one.release, one.report, one.decision):
        ledger.append(record, recorded={"flyball": "0.1.0", "seconds": 41.3})


def _deploy(
    ledger: Ledger,
    one: Generation,
    strategy: Any,
    *,
    states: tuple[DeploymentState, ...],
    replaces: str | None = None,
) -> Deployment:
    deployment = Deployment(
        id=uuid7(),
        project=PROJECT,
        route=PROJECT,
        release=one.name,
        decision=fingerprint(one.decision),
        strategy=strategy,
        plan={"steps": [0.1, 0.5]},
        replaces=replaces,
        requested_by="local",
        reason="flyball run",
    )
    ledger.append(deployment)
    counts = {"candidate_requests": 96, "candidate_failures": 0, "candidate_units": 34, "candidate_good": 32}
    counts |= {"live_requests": 812, "live_failures": 9, "live_units": 301, "live_good": 271}
    evidence: dict[str, Any] = {
        "requested": {},
        "starting": {"reason": "admitted", "decision": fingerprint(one.decision)},
        "ramping": {"reason": "its engine answered", "share": 0.1, "p_harm_quality": 0.41, "alpha": 0.05, **counts},
        "live": {"reason": "its engine answered a real request", "seconds": 0.8},
        "retired": {"reason": "replaced, and no longer needed to fall back on", "hot_seconds": 300.2},
    }
    with ledger.begin() as connection:
        for state in states:
            step = Transition(deployment=deployment.id, state=state, step=0, evidence=evidence[state])
            deployments.add_transition(connection, PROJECT, step, epoch=1)
    return deployment


def _traffic(
    ledger: Ledger,
    n: int,
    live: Generation,
    deployment: Deployment,
    candidate: Generation,
    canary: Deployment,
    chance: random.Random,
) -> list[RequestRecord]:
    now = now_ms()
    moments = sorted(now - int(3_560_000 * chance.random() ** 1.2) for _ in range(n))
    records = []
    with ledger.begin() as connection:
        for moment in moments:
            on_canary = chance.random() < 0.1
            outcome = chance.choices(("ok", "error", "cut", "aborted", "refused"), (955, 8, 3, 14, 20))[0]
            text, label = chance.choice(TEXTS)
            record = request(
                started_ms=moment,
                release=candidate.name if on_canary else live.name,
                deployment=canary.id if on_canary else deployment.id,
                variant="canary" if on_canary else "live",
                outcome=outcome,
                status={"error": 502, "refused": 429, "aborted": 499}.get(outcome, 200),
                error="the engine closed the connection" if outcome in ("error", "cut") else None,
                total_ms=14 + chance.lognormvariate(1.6, 0.7),
            )
            add_request(connection, record)
            records.append(record)
            add_texts(connection, record, text, label if outcome == "ok" else "")
            if outcome == "ok" and chance.random() < 0.4:
                _feedback(connection, record, label, chance)
    return records


def request(**changes: Any) -> RequestRecord:
    """An answered request; its id carries its time."""
    record = RequestRecord(
        id=uuid7(now_ms=changes.get("started_ms")),
        project=PROJECT,
        route=PROJECT,
        release=digest("release"),
        deployment=None,
        variant="live",
        endpoint="chat.completions",
        key_id="local",
        team="support",
        subject=digest("customer 31"),
        conversation=None,
        client_id=None,
        unit=digest("unit"),
        started_ms=now_ms(),
        queue_ms=0.4,
        first_token_ms=11.2,
        total_ms=19.6,
        longest_gap_ms=3.1,
        attempts=1,
        status=200,
        outcome="ok",
        error=None,
        finish_reason="stop",
        stream=True,
        prompt_tokens=22,
        completion_tokens=3,
        cost_usd=0.0000017,
    )
    return replace(record, **changes)


def add_texts(connection: Any, record: RequestRecord, text: str, answer: str) -> None:
    """The redacted payload of a request."""
    body = {"model": PROJECT, "messages": [{"role": "user", "content": text}]}
    add_payload(
        connection,
        id=record.id,
        project=PROJECT,
        subject=record.subject or record.id,
        sealed=b"sealed",
        redacted=msgspec.json.encode({"request": body, "answer": answer}).decode(),
        expires_ms=now_ms() + 86_400_000,
    )


def _feedback(connection: Any, record: RequestRecord, label: str, chance: random.Random) -> None:
    good = chance.random() < (0.9 if record.variant == "live" else 0.93)
    feedback = Feedback(
        id=uuid7(),
        project=PROJECT,
        request=record.id,
        client_id=None,
        key_id="local",
        score=1.0 if good else None,
        label=None,
        has_correction=not good,
        has_comment=False,
        at_ms=record.started_ms + 4000,
    )
    traffic.add_feedback(connection, feedback)
    if not good:
        texts = {"correction": chance.choice([one for one in LABELS if one != label])}
        add_payload(
            connection,
            id=feedback.id,
            project=PROJECT,
            subject=record.subject or record.id,
            sealed=b"sealed",
            redacted=msgspec.json.encode(texts).decode(),
            expires_ms=now_ms() + 86_400_000,
        )


def _findings(ledger: Ledger, old: Generation, live: Generation, records: list[RequestRecord]) -> Finding:
    examples = tuple(record.id for record in records[-3:])

    def finding(kind: Any, severity: Any, release: str, measure: str, explanation: str, **figures: float) -> Finding:
        return Finding(
            id=uuid7(),
            project=PROJECT,
            kind=kind,
            severity=severity,
            route=PROJECT,
            release=release,
            measure=measure,
            value=figures["value"],
            reference=figures["reference"],
            evidence={"e_value": 131.2, "alpha": 0.01, "n": 412, "new_words": ["e-scooter", "parcel locker", "drone"]},
            first_seq=1,
            last_seq=len(records),
            examples=examples,
            explanation=explanation,
        )

    quality = finding(
        "quality",
        "critical",
        old.name,
        "exact_match",
        "Answers were judged good in 71.2 % of 338 graded requests; evaluation measured 86.1 %.",
        value=0.712,
        reference=0.861,
    )
    drift = finding(
        "drift",
        "warning",
        live.name,
        "share_with_new_word",
        "19.4 % of 412 requests have a word that no training row had; 6.1 % of held-out rows did. "
        "Most frequent: e-scooter, parcel locker, drone.",
        value=0.194,
        reference=0.061,
    )
    for one in (quality, drift):
        ledger.append(one)
    ledger.append(
        Proposal(
            id=uuid7(),
            project=PROJECT,
            action="retrain",
            findings=(drift.id,),
            route=PROJECT,
            release=live.name,
            corrections=134,
            rationale="drift on the live release and 134 corrected answers to learn from",
        )
    )
    return drift
