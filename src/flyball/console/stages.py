"""The twelve stages of the loop as the front page shows them: one box each, with its state and key figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

from flyball.console import text_formats
from flyball.console.evidence import comparison, deciding, exact_match, loss, number, rows_of
from flyball.console.record_facts import DEPLOYMENT_STATES, VERDICTS, State, link
from flyball.console.rollouts import Rollout
from flyball.console.traffic import Traffic
from flyball.records import (
    Check,
    DatasetVersion,
    EvalReport,
    Finding,
    GateDecision,
    ModelVersion,
    Proposal,
    Release,
    TrainingRun,
)
from flyball.storage.ledger import Stored

Onward = Literal["open", "shut", "idle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One box: what happens there, how it stands, its key figure, and the record it shows."""

    key: str
    verb: str
    state: State
    figure: str
    detail: str
    name: str | None = None
    href: str | None = None
    at_ms: int | None = None
    onward: Onward = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What answers on a route, since when, and what a rollback would bring back."""

    release: str
    deployment: str | None
    since_ms: int | None
    previous: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Feedback on the live release: how much, and the share of good answers with its interval."""

    n: int
    value: float | None
    lower: float | None
    upper: float | None
    at_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopFacts:
    """What the stages are made from: the newest record of each type, and the state of production."""

    newest: Mapping[type, Stored]
    rollout: Rollout | None
    live: Live | None
    traffic: Traffic
    listening: Listening | None
    open_findings: tuple[Stored, ...]


def stages(facts: LoopFacts) -> tuple[Stage, ...]:
    """The loop in order, from collecting to improving."""
    return (
        _collect(facts.newest.get(DatasetVersion)),
        _train(facts.newest.get(TrainingRun)),
        _register(facts.newest.get(ModelVersion)),
        _compose(facts.newest.get(Release)),
        _evaluate(facts.newest.get(EvalReport)),
        _gate(facts.newest.get(GateDecision)),
        _roll_out(facts.rollout),
        _serve(facts.live),
        _answer(facts.traffic),
        _listen(facts.listening),
        _monitor(facts.open_findings, watched=facts.traffic.requests > 0 or Finding in facts.newest),
        _improve(facts.newest.get(Proposal)),
    )


def _empty(key: str, verb: str, detail: str) -> Stage:
    return Stage(key=key, verb=verb, state="idle", figure=text_formats.DASH, detail=detail, onward="idle")


def _of(stored: Stored, key: str, verb: str, *, figure: str, detail: str, state: State = "ok") -> Stage:
    return Stage(
        key=key,
        verb=verb,
        state=state,
        figure=figure,
        detail=detail,
        name=stored.id,
        href=link(stored.id),
        at_ms=stored.at_ms,
    )


def _collect(stored: Stored | None) -> Stage:
    if stored is None:
        return _empty("collect", "Collect", "no dataset yet")
    record = cast(DatasetVersion, stored.record)
    detail = f"of {text_formats.count(record.rows_in)} read"
    return _of(stored, "collect", "Collect", figure=f"{text_formats.count(rows_of(record))} rows", detail=detail)


def _train(stored: Stored | None) -> Stage:
    if stored is None:
        return _empty("train", "Train", "no training run yet")
    record = cast(TrainingRun, stored.record)
    found = loss(record)
    figure = f"{found[1]:.3f}" if found else record.method
    detail = text_formats.words(found[0]) if found else "no loss recorded"
    return _of(stored, "train", "Train", figure=figure, detail=detail)


def _register(stored: Stored | None) -> Stage:
    if stored is None:
        return _empty("register", "Register", "no model yet")
    record = cast(ModelVersion, stored.record)
    size = text_formats.size(sum(file.size_bytes for file in record.files))
    detail = f"parameters, {size}"
    return _of(stored, "register", "Register", figure=text_formats.compact(record.parameters), detail=detail)


def _compose(stored: Stored | None) -> Stage:
    if stored is None:
        return _empty("compose", "Compose", "no release yet")
    record = cast(Release, stored.record)
    kind = record.constraint.kind
    figure = (
        f"{len(record.constraint.labels)} labels" if kind == "labels" else "JSON" if kind != "none" else "free text"
    )
    detail = f"{record.engine.kind}, {record.engine.slots} slots"
    return _of(stored, "compose", "Compose", figure=figure, detail=detail)


def _evaluate(stored: Stored | None) -> Stage:
    if stored is None:
        return _empty("evaluate", "Evaluate", "no report yet")
    record = cast(EvalReport, stored.record)
    best = exact_match(record)
    if best is None:
        detail = f"{record.failures} failures"
        return _of(stored, "evaluate", "Evaluate", figure="no measure", detail=detail, state="attention")
    detail = (
        f"{number(best, best.lower)} {text_formats.DASH} {number(best, best.upper)}, n {text_formats.count(best.n)}"
    )
    figure = number(best, best.value)
    return _of(
        stored, "evaluate", "Evaluate", figure=figure, detail=detail, state="attention" if record.failures else "ok"
    )


def _gate(stored: Stored | None) -> Stage:
    if stored is None:
        return _empty("gate", "Gate", "no decision yet")
    record = cast(GateDecision, stored.record)
    detail = _bound(deciding(record))
    stage = _of(
        stored,
        "gate",
        "Gate",
        figure={"pass": "Pass", "fail": "Refused"}.get(record.verdict, "Unsure"),
        detail=detail,
        state=VERDICTS[record.verdict],
    )
    if record.verdict == "pass":
        return stage
    return replace(stage, onward="shut")


def _bound(check: Check | None) -> str:
    """The bound that decided against what it had to reach, as short as it goes."""
    if check is None or check.bound is None:
        return "nothing measured"
    return f"{'vs live' if check.rule.endswith('live') else 'bound'} {comparison(check)}"


def _roll_out(rollout: Rollout | None) -> Stage:
    if rollout is None:
        return _empty("roll-out", "Roll out", "no deployment yet")
    figure = text_formats.words(rollout.state).capitalize()
    return Stage(
        key="roll-out",
        verb="Roll out",
        state=DEPLOYMENT_STATES[rollout.state],
        figure=figure,
        detail=f"{rollout.deployment.strategy}, {rollout.rung}" if rollout.is_open else rollout.deployment.strategy,
        name=rollout.deployment.id,
        href=f"/deployments#{rollout.deployment.id}",
        at_ms=rollout.at_ms,
    )


def _serve(live: Live | None) -> Stage:
    if live is None:
        return _empty("serve", "Serve", "no live release yet")
    return Stage(
        key="serve",
        verb="Serve",
        state="ok",
        figure="Live",
        detail=f"before it {text_formats.brief(live.previous)}" if live.previous else "the first release",
        name=live.release,
        href=link(live.release),
        at_ms=live.since_ms,
    )


def _answer(traffic: Traffic) -> Stage:
    if not traffic.requests:
        return _empty("answer", "Answer", "no request this hour")
    share = traffic.failed / traffic.requests
    state: State = "ok" if share < 0.01 else "attention" if share < 0.1 else "bad"
    detail = f"p50 {text_formats.milliseconds(traffic.p50)}, {text_formats.percent(share)} failed"
    return Stage(
        key="answer",
        verb="Answer",
        state=state,
        figure=f"{traffic.per_minute:.0f} / min" if traffic.per_minute >= 10 else f"{traffic.per_minute:.1f} / min",
        detail=detail,
        href="/requests",
        at_ms=traffic.last_ms,
    )


def _listen(listening: Listening | None) -> Stage:
    if listening is None or not listening.n or listening.value is None:
        return _empty("listen", "Listen", "no feedback yet")
    span = ""
    if listening.lower is not None and listening.upper is not None:
        span = f"{text_formats.interval(listening.lower, listening.upper)}, n {text_formats.count(listening.n)}"
    return Stage(
        key="listen",
        verb="Listen",
        state="ok",
        figure=f"{text_formats.percent(listening.value)} good",
        detail=span,
        href="/requests",
        at_ms=listening.at_ms,
    )


def _monitor(opened: tuple[Stored, ...], *, watched: bool) -> Stage:
    if not opened and not watched:
        return _empty("monitor", "Monitor", "no traffic to watch yet")
    if not opened:
        return Stage(key="monitor", verb="Monitor", state="ok", figure="Calm", detail="nothing open", href="/findings")
    worst = any(cast(Finding, stored.record).severity == "critical" for stored in opened)
    kinds = ", ".join(dict.fromkeys(cast(Finding, stored.record).kind for stored in opened))
    figure = f"{len(opened)} finding{'s' if len(opened) > 1 else ''}"
    return Stage(
        key="monitor",
        verb="Monitor",
        state="bad" if worst else "attention",
        figure=figure,
        detail=kinds,
        name=opened[0].id,
        href="/findings",
        at_ms=opened[0].at_ms,
    )


def _improve(stored: Stored | None) -> Stage:
    if stored is None:
        return _empty("improve", "Improve", "no proposal yet")
    record = cast(Proposal, stored.record)
    detail = f"{text_formats.count(record.corrections)} corrected answers"
    return _of(stored, "improve", "Improve", figure=record.action.capitalize(), detail=detail, state="active")
