"""Traffic of the last hour by minute: how many requests, how they ended, how long they took. I/O: reads the ledger."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, literal_column, select

from flyball.records import JSON
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import IS_TRAFFIC

MINUTES = 60
MINUTE_MS = 60_000
SAMPLE = 10_000
FAILED = ("error", "cut")
"""Outcomes that are our fault; `aborted` is the client's choice and `refused` a limit that held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """One minute of traffic; `minute` counts from now: -60 is an hour ago."""

    minute: int
    answered: int
    failed: int
    refused: int
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The last hour in minutes, and in all. Latencies are of answers that went well, in milliseconds."""

    minutes: tuple[Minute, ...]
    requests: int
    failed: int
    refused: int
    per_minute: float
    p50: float | None
    p99: float | None
    last_ms: int | None

    @property
    def busiest(self) -> Minute:
        """The minute with the most requests."""
        return max(self.minutes, key=lambda m: m.answered + m.failed + m.refused)

    def points(self) -> list[dict[str, JSON]]:
        """The minutes as plain values for a chart."""
        return [{name: getattr(m, name) for name in Minute.__dataclass_fields__} for m in self.minutes]


def read_traffic(ledger: Ledger, *, route: str | None, now_ms: int) -> Traffic:
    """The last hour of one route (None: of all). Quantiles come from its newest 10,000 answers at most."""
    column = tables.requests.c
    since = now_ms - MINUTES * MINUTE_MS
    here: list[ColumnElement[bool]] = [column.project == ledger.project, column.at_ms > since, column.at_ms <= now_ms]
    here.append(IS_TRAFFIC)
    if route is not None:
        here.append(column.route == route)
    start: ColumnElement[int] = literal_column(str(since + 1))  # literal: PostgreSQL groups by equal text only
    width: ColumnElement[int] = literal_column(str(MINUTE_MS))
    index = ((column.at_ms - start) // width).label("minute")
    counts = select(index, column.outcome, func.count()).where(and_(*here)).group_by(index, column.outcome)
    times = select(index, column.total_ms).where(and_(*here, column.outcome == "ok"))
    newest = select(func.max(column.at_ms)).where(and_(*here))
    with ledger.read() as connection:
        counted = connection.execute(counts).all()
        timed = connection.execute(times.order_by(column.at_ms.desc()).limit(SAMPLE)).all()
        last_ms = connection.execute(newest).scalar()
    return _summarise(counted, timed, last_ms)


def _summarise(
    counted: Iterable[tuple[int, str, int]], timed: Iterable[tuple[int, float]], last_ms: int | None
) -> Traffic:
    answered, failed, refused = [0] * MINUTES, [0] * MINUTES, [0] * MINUTES
    times: list[list[float]] = [[] for _ in range(MINUTES)]
    for minute, outcome, n in counted:
        side = failed if outcome in FAILED else refused if outcome == "refused" else answered
        side[int(minute)] += n
    for minute, total_ms in timed:
        times[int(minute)].append(total_ms)
    everything = sorted(value for values in times for value in values)
    requests = sum(answered) + sum(failed) + sum(refused)
    recent = sum(answered[-5:]) + sum(failed[-5:]) + sum(refused[-5:])
    return Traffic(
        minutes=tuple(
            Minute(
                minute=i - MINUTES,
                answered=answered[i],
                failed=failed[i],
                refused=refused[i],
                p50=quantile(sorted(times[i]), 0.5),
                p99=quantile(sorted(times[i]), 0.99),
            )
            for i in range(MINUTES)
        ),
        requests=requests,
        failed=sum(failed),
        refused=sum(refused),
        per_minute=recent / 5,
        p50=quantile(everything, 0.5),
        p99=quantile(everything, 0.99),
        last_ms=last_ms,
    )


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank quantile of sorted values; None of none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
