"""How a route does: traffic, times, tokens, cost; how good its answers are, with an interval. I/O: reads the ledger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, literal_column, select

from flyball.monitoring.observations import latest_grades
from flyball.records import EvalReport, Finding
from flyball.statistics.intervals import clopper_pearson
from flyball.storage import tables
from flyball.storage.ledger import Ledger, Stored, now_ms
from flyball.storage.traffic import IS_TRAFFIC

NEWEST = 20_000
"""Requests that quantiles are taken over, at most; exact up to that many."""
GRADES = 20_000
POINTS = 60
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Milliseconds that half, 90 % and 99 % of answers stayed within; None when there was none."""

    p50: float | None
    p90: float | None
    p99: float | None
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSummary:
    """Requests since a moment: by outcome, times, tokens, dollars, and requests per minute over the window."""

    since_ms: int
    until_ms: int
    requests: int
    errors: int
    aborted: int
    cut: int
    refused: int
    total: Quantiles
    first_token: Quantiles
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    per_minute: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityEstimate:
    """Share of graded requests whose answer was good, with its two-sided interval; None when nothing was graded."""

    value: float | None
    lower: float
    upper: float
    n: int
    good: int
    level: float


def traffic_summary(
    ledger: Ledger, *, route: str | None = None, since_ms: int, release: str | None = None, until_ms: int | None = None
) -> TrafficSummary:
    """Everything about the requests that began in a window (default: until now)."""
    end = now_ms() if until_ms is None else until_ms
    column = tables.requests.c
    where = [column.project == ledger.project, column.at_ms >= since_ms, column.at_ms <= end, IS_TRAFFIC]
    where += [column.route == route] if route is not None else []
    where += [column.release == release] if release is not None else []
    with ledger.read() as connection:
        sums = _sums(connection, where)
        times = connection.execute(
            select(column.total_ms, column.first_token_ms)
            .where(*where, column.outcome == "ok")
            .order_by(column.seq.desc())
            .limit(NEWEST)
        ).all()
        per_minute = _per_minute(connection, where, since_ms, end)
    return TrafficSummary(
        since_ms=since_ms,
        until_ms=end,
        **sums,
        total=quantiles([row.total_ms for row in times]),
        first_token=quantiles([row.first_token_ms for row in times if row.first_token_ms is not None]),
        per_minute=per_minute,
    )


def quality(ledger: Ledger, release: str, *, level: float = 0.95) -> QualityEstimate:
    """How good people found a release's answers: the latest grade of each graded request, Clopper–Pearson."""
    grades = latest_grades(ledger, release, limit=GRADES)
    good, n = sum(one.good for one in grades), len(grades)
    lower, upper = clopper_pearson(good, n, level)
    return QualityEstimate(value=good / n if n else None, lower=lower, upper=upper, n=n, good=good, level=level)


def evaluated_quality(
    ledger: Ledger, release: str, *, suite: str = "test", measure: str = "exact_match"
) -> float | None:
    """What an evaluation of a release measured, the newest that did; None when none did."""
    for stored in reports_on(ledger, release):
        assert isinstance(stored.record, EvalReport)
        for one in stored.record.measures:
            if (one.suite, one.name, one.slice) == (suite, measure, None):
                return one.value
    return None


def reports_on(ledger: Ledger, release: str) -> list[Stored]:
    """The evaluation reports on a release, newest first."""
    found = [ledger.get(edge.child) for edge in ledger.children(release) if edge.relation == "release"]
    reports = [stored for stored in found if isinstance(stored.record, EvalReport)]
    return sorted(reports, key=lambda one: one.seq, reverse=True)


def open_findings(ledger: Ledger, *, route: str, release: str, limit: int = 1000) -> list[Finding]:
    """Findings about a release while it is the live one, oldest first; another live release closes them."""
    records = [stored.record for stored in ledger.find(Finding, limit=limit)]
    findings = [one for one in records if isinstance(one, Finding) and (one.route, one.release) == (route, release)]
    return findings[::-1]


def quantiles(values: Sequence[float]) -> Quantiles:
    """Nearest-rank quantiles: the smallest value that at least such a share of all stays within."""
    ordered = sorted(values)

    def at(share: float) -> float | None:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None

    return Quantiles(p50=at(0.5), p90=at(0.9), p99=at(0.99), n=len(ordered))


def _sums(connection: Connection, where: list[Any]) -> dict[str, Any]:
    column = tables.requests.c

    def count(outcome: str) -> Any:
        return func.coalesce(func.sum(case((column.outcome == outcome, 1), else_=0)), 0)

    row = connection.execute(
        select(
            func.count().label("requests"),
            count("error").label("errors"),
            count("aborted").label("aborted"),
            count("cut").label("cut"),
            count("refused").label("refused"),
            func.coalesce(func.sum(column.prompt_tokens), 0).label("prompt_tokens"),
            func.coalesce(func.sum(column.completion_tokens), 0).label("completion_tokens"),
            func.coalesce(func.sum(column.cost_usd), 0.0).label("cost_usd"),
        ).where(*where)
    ).one()
    found = dict(row._mapping)
    cost = float(found.pop("cost_usd"))
    return {name: int(value) for name, value in found.items()} | {"cost_usd": cost}


def _per_minute(connection: Connection, where: list[Any], since_ms: int, until_ms: int) -> tuple[float, ...]:
    """Requests per minute in at most 60 equal parts of the window, the newest last."""
    width = max(MINUTE_MS, -(-(until_ms - since_ms + 1) // POINTS))
    parts = max(1, -(-(until_ms - since_ms + 1) // width))
    counts = dict.fromkeys(range(parts), 0)
    age = tables.requests.c.at_ms - literal_column(str(int(since_ms)))  # literal: PostgreSQL groups by equal text only
    start = age - age % literal_column(str(int(width)))
    for place, count in connection.execute(select(start, func.count()).where(*where).group_by(start)):
        counts[int(place) // width] += count
    return tuple(count * MINUTE_MS / width for count in counts.values())
