"""A finding in words: what was seen, how sure that is, and what failed. I/O: reads the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from flyball.monitoring.monitor import Monitor
from flyball.records import RequestRecord, parse
from flyball.records.runtime import ASKED_PATHS
from flyball.storage import tables
from flyball.storage.ledger import Ledger

FAILURES = 5
"""Kinds of failure that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Requests that failed alike: status and path, why, and how many."""

    what: str
    cause: str
    requests: int


def explain(watch: Monitor, *, hits: int, n: int, e_value: float, alpha: float) -> str:
    """Two or three sentences for a person."""
    tolerated = "at most" if watch.direction == "above" else "at least"
    return (
        f"{hits} of the last {n} {watch.what} ({hits / n:.1%}); expected {watch.reference:.1%}, "
        f"tolerated {tolerated} {watch.limit:.1%}. The evidence is e = {e_value:.3g} (without a "
        f"change it ever grows so strong in at most 1 of {e_value:,.0f} cases), needed was 1/α = {1 / alpha:.3g}; "
        "such an alarm by accident, over the whole life of this release, has a probability of at most "
        f"α = {alpha:.2g}."
    )


def what_failed(ledger: Ledger, requests: Sequence[str]) -> list[Failure]:
    """What these requests had in common: their status and path, and why they failed; most first."""
    column = tables.requests.c
    with ledger.read() as connection:
        bodies = connection.execute(
            select(column.body).where(column.project == ledger.project, column.id.in_(requests))
        ).scalars()
        records = [parse(bytes(body), RequestRecord) for body in bodies]
    counted = Counter(
        (f"{'cut' if one.outcome == 'cut' else one.status} on {ASKED_PATHS[one.kind]}", one.cause or one.error or "")
        for one in records
    )
    return [Failure(what=what, cause=cause, requests=n) for (what, cause), n in counted.most_common(FAILURES)]


def name_failures(failures: Sequence[Failure]) -> str:
    """What failed and why as a sentence."""
    told = [f"{one.requests} × {one.what}" + (f" ({one.cause})" if one.cause else "") for one in failures]
    return f"Among the latest: {'; '.join(told)}." if told else ""
