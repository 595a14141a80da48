"""Shares of limits, leased by one worker for all its accounts in one transaction. I/O: the ledger.

A worker's shares hold while its row in `limit_workers` has not expired (by the database's clock); the worker that comes
next takes those of an expired one away: its seats and rates are free again, its dollars count as spent unless its
records say otherwise (settling.py). A worker that finds itself expired has lost its shares and goes on under a new
name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, delete, func, select, update

from flyball.cost.pools import KINDS, REQUESTS, SEATS, TOKENS, USD, grant, refill
from flyball.storage import tables
from flyball.storage.batches import upsert_many
from flyball.storage.leases import clock_ms
from flyball.storage.ledger import Ledger

LIMITS = "limits"
"""The name of the transactions that lease: they wait for one another and for no other writer (PostgreSQL)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """What a worker says of one limit, and wants of it.

    `used`: dollars spent in this period, or seats taken; `held`: what it keeps beyond that; `had`: the most it may have
    held since it last told; `returned`: what of a rate flows back (below zero: was used beyond what was held).
    """

    account: str
    kind: int
    period: str
    limit: float
    used: float
    held: float
    had: float
    returned: float
    want: float
    least: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was granted, what is left in the ledger, and what other workers hold or have spent."""

    granted: float
    free: float
    others: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One answer for each ask, or none where this worker's lease had expired. `alone`: no other worker leases."""

    answers: tuple[Answer, ...] | None
    alone: bool


def lease(
    ledger: Ledger, *, worker: str, asks: Sequence[LeaseRequest], ttl_s: float, holding: bool, leaving: bool = False
) -> Outcome:
    """Renew this worker's lease, take what it tells, grant what it wants.

    `holding`: it counts on shares from before; `leaving`: it holds nothing after this.
    """
    with ledger.begin_beside(LIMITS) as connection:
        now = clock_ms(connection)
        alive, alone = _look_at_workers(connection, ledger.project, worker, now)
        if holding and not alive:
            return Outcome(answers=None, alone=alone)
        _renew(connection, ledger.project, worker, expires_ms=None if leaving else now + round(ttl_s * 1000))
        answers = answer_all(connection, ledger.project, worker, asks, now) if asks else ()
    return Outcome(answers=answers, alone=alone)


def reap(connection: Connection, project: str, workers: Sequence[str]) -> None:
    """Take away what these workers held: dollars count in full from now on, seats and rates are free again."""
    share = tables.limit_shares.c
    theirs = (share.project == project, share.worker.in_(workers), share.state == "open")
    connection.execute(update(tables.limit_shares).where(*theirs, share.kind == "usd").values(state="expired"))
    connection.execute(delete(tables.limit_shares).where(*theirs))
    column = tables.limit_workers.c
    connection.execute(delete(tables.limit_workers).where(column.project == project, column.worker.in_(workers)))


def _look_at_workers(connection: Connection, project: str, worker: str, now: int) -> tuple[bool, bool]:
    """Whether this worker's lease holds, and whether it is the only one; expired ones are reaped."""
    column = tables.limit_workers.c
    rows = connection.execute(select(column.worker, column.expires_ms).where(column.project == project)).all()
    expired = [row.worker for row in rows if row.expires_ms <= now]
    if expired:
        reap(connection, project, expired)
    living = {row.worker for row in rows if row.expires_ms > now}
    return worker in living, not living - {worker}


def _renew(connection: Connection, project: str, worker: str, *, expires_ms: int | None) -> None:
    column = tables.limit_workers.c
    if expires_ms is None:
        connection.execute(delete(tables.limit_workers).where(column.project == project, column.worker == worker))
        return
    row = {"project": project, "worker": worker, "expires_ms": expires_ms}
    upsert_many(connection, tables.limit_workers, [row])


def answer_all(
    connection: Connection, project: str, worker: str, asks: Sequence[LeaseRequest], now: int
) -> tuple[Answer, ...]:
    """Take in what a worker tells and grant what it wants, at a time in Unix milliseconds; the caller holds LIMITS."""
    accounts = sorted({ask.account for ask in asks})
    others = _held_by_others(connection, project, worker, accounts)
    levels = _levels(connection, project, accounts) if any(ask.kind in (REQUESTS, TOKENS) for ask in asks) else {}
    answers, shares, filled = [], [], []
    for ask in asks:
        theirs = others.get((ask.account, KINDS[ask.kind], ask.period), 0.0)
        if ask.kind in (REQUESTS, TOKENS):
            free = _filled(ask, levels.get((ask.account, KINDS[ask.kind])), theirs, now)
        else:
            free = ask.limit - theirs - ask.used - ask.held
        granted = grant(free, want=ask.want, least=ask.least, whole=ask.kind in (SEATS, REQUESTS))
        if ask.kind in (REQUESTS, TOKENS):
            filled.append(_named(project, ask) | {"level": free - granted, "at_ms": now})
        shares.append(_share(project, worker, ask, granted))
        answers.append(Answer(granted=granted, free=max(0.0, free - granted), others=theirs))
    upsert_many(connection, tables.limit_levels, filled)
    upsert_many(connection, tables.limit_shares, [row for row in shares if row["granted"] or row["kind"] == "usd"])
    _forget(connection, project, worker, [row for row in shares if not row["granted"] and row["kind"] != "usd"])
    return tuple(answers)


def _filled(ask: LeaseRequest, known: tuple[float, int] | None, theirs: float, now: int) -> float:
    """The level of a rate now; before its first use it is full."""
    if known is None:
        return ask.limit - theirs - ask.held + min(0.0, ask.returned)
    level, at_ms = known
    full = refill(level=level, capacity=ask.limit, elapsed_s=(now - at_ms) / 1000, held=theirs + ask.had)
    return min(full + ask.returned, ask.limit - theirs - ask.held)


def _share(project: str, worker: str, ask: LeaseRequest, granted: float) -> dict[str, Any]:
    held = ask.held + granted
    is_money = ask.kind == USD
    return {
        "project": project,
        "account": ask.account,
        "kind": KINDS[ask.kind],
        "period": ask.period,
        "worker": worker,
        "granted": held if ask.kind in (REQUESTS, TOKENS) else ask.used + held,
        "spent": ask.used if is_money else 0.0,
        "state": "settled" if is_money and held <= 0 else "open",
    }


def _named(project: str, ask: LeaseRequest) -> dict[str, Any]:
    return {"project": project, "account": ask.account, "kind": KINDS[ask.kind]}


def _held_by_others(
    connection: Connection, project: str, worker: str, accounts: Sequence[str]
) -> dict[tuple[str, str, str], float]:
    """By account, kind and period: what nobody else may have."""
    column = tables.limit_shares.c
    counts = func.sum(case((column.state == "settled", column.spent), else_=column.granted))
    query = select(column.account, column.kind, column.period, counts.label("counts")).where(
        column.project == project, column.account.in_(accounts), column.worker != worker
    )
    rows = connection.execute(query.group_by(column.account, column.kind, column.period))
    return {(row.account, row.kind, row.period): float(row.counts) for row in rows}


def _levels(connection: Connection, project: str, accounts: Sequence[str]) -> dict[tuple[str, str], tuple[float, int]]:
    column = tables.limit_levels.c
    query = select(tables.limit_levels).where(column.project == project, column.account.in_(accounts))
    return {(row.account, row.kind): (row.level, row.at_ms) for row in connection.execute(query)}


def _forget(connection: Connection, project: str, worker: str, rows: Sequence[dict[str, Any]]) -> None:
    column = tables.limit_shares.c
    for row in rows:
        mine = (column.project == project, column.worker == worker, column.period == "")
        named = (column.account == row["account"], column.kind == row["kind"])
        connection.execute(delete(tables.limit_shares).where(*mine, *named))
