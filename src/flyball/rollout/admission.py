"""Whether a release may be deployed at all: the evidence that is asked for, twice. I/O: reads the ledger.

`request_deployment` asks before anything is stored, and the control plane asks again before anything starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from flyball.errors import NotFoundError, RefusedError
from flyball.records import JSON, Deployment, GateDecision, Release
from flyball.records.identity import short
from flyball.storage import tables
from flyball.storage.ledger import Ledger


def passing_decision(ledger: Ledger, release: str, *, live: str | None) -> GateDecision:
    """The newest decision on exactly this release that counts today; RefusedError unless it passed.

    A decision counts while the release that it compared with is still the live one; where nothing is live, or where its
    policy compares with nothing, any counts.
    """
    decisions = _decisions(ledger, release)
    if not decisions:
        raise RefusedError(
            f"no gate has decided about release {short(release)}",
            cure=f"flyball evaluate {short(release)} && flyball gate {short(release)}",
        )
    current = [decision for decision in decisions if _counts(decision, live)]
    if not current:
        raise RefusedError(
            f"the gate compared release {short(release)} with {_named(decisions[0].baseline_release)}, "
            f"but {_named(live)} is live now",
            cure=f"run `flyball gate {short(release)}` again: it compares with what is live",
        )
    if current[0].verdict != "pass":
        raise RefusedError(
            f"the gate did not pass release {short(release)}: {current[0].verdict}{_why(current[0])}",
            cure=f"see `flyball gate {short(release)}`; only a passing release is deployed",
        )
    return current[0]


def refuse_erased(ledger: Ledger, release: Release, release_name: str) -> None:
    """RefusedError when an erasure reached the release, its model or its adapter."""
    names = [name for name in (release_name, release.model, release.adapter) if name]
    column = tables.erasures.c
    query = select(column.old, column.effect).where(column.project == ledger.project, column.old.in_(names))
    with ledger.read() as connection:
        row = connection.execute(query.limit(1)).one_or_none()
    if row is not None:
        raise RefusedError(
            f"release {short(release_name)} cannot be deployed: an erasure reached {short(row.old)} ({row.effect})",
            cure="train again without those rows: `flyball run`",
        )


def admitted_release(ledger: Ledger, name: str) -> Release:
    """The release of this name; NotFoundError otherwise."""
    record = ledger.get(name).record
    if not isinstance(record, Release):
        raise NotFoundError(f"{name} is a {type(record).__name__}, not a release", cure="see `flyball models`")
    return record


def refusal(ledger: Ledger, deployment: Deployment, *, live: str | None) -> str | None:
    """Why the control plane does not admit a deployment that is stored already; None when it does."""
    try:
        refuse_erased(ledger, admitted_release(ledger, deployment.release), deployment.release)
        decision = ledger.get(deployment.decision).record
        if not isinstance(decision, GateDecision):
            return f"{short(deployment.decision)} is no gate decision"
        if decision.release != deployment.release:
            return f"its decision is about release {short(decision.release)}"
        if decision.verdict != "pass":
            return f"its gate decision is {decision.verdict}"
        if not returns(deployment) and live != deployment.release and not _counts(decision, live):
            return f"its gate compared with {_named(decision.baseline_release)}, but {_named(live)} is live now"
    except (RefusedError, NotFoundError) as error:
        return error.message
    return None


def returns(deployment: Deployment) -> bool:
    """Whether a deployment brings back a release that was live and had been scaled down."""
    return bool(deployment.plan.get("returns"))


def _decisions(ledger: Ledger, release: str) -> list[GateDecision]:
    """Every decision on a release, newest first."""
    stored = [ledger.get(edge.child) for edge in ledger.children(release) if edge.relation == "release"]
    stored.sort(key=lambda one: one.seq, reverse=True)
    return [one.record for one in stored if isinstance(one.record, GateDecision)]


def _counts(decision: GateDecision, live: str | None) -> bool:
    return live is None or decision.baseline_release == live or not _compares(decision.policy)


def _compares(policy: Mapping[str, JSON]) -> bool:
    rules: Sequence[Mapping[str, JSON]] = policy.get("rules") or ()
    return any(rule.get(name) is not None for rule in rules for name in ("not_worse_than_live", "better_than_live"))


def _named(release: str | None) -> str:
    return f"release {short(release)}" if release else "no release"


def _why(decision: GateDecision) -> str:
    reasons = [check.reason for check in decision.checks if check.verdict != "pass"]
    return f" ({'; '.join(reasons)})" if reasons else ""
