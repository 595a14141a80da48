"""What the loop has spent, and what came of it. I/O: the ledger.

Serving is metered by the requests themselves; everything else is charged here, once, by what caused it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from flyball.records import Feedback, parse
from flyball.storage import tables
from flyball.storage.ledger import Ledger, now_ms
from flyball.storage.traffic import IS_TRAFFIC


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSummary:
    """All spend in dollars; a good answer is one whose latest feedback is positive.

    What shadows cost is a kind of its own (`shadow`): no key pays for it, and it is none of the `requests`.
    """

    total_usd: float
    by_kind: Mapping[str, float]
    by_key: Mapping[str, float]
    by_release: Mapping[str, float]
    requests: int
    good_answers: int
    per_request_usd: float | None
    per_good_answer_usd: float | None


def charge(
    ledger: Ledger, *, kind: str, subject: str, usd: float, quantity: float, connection: Connection | None = None
) -> None:
    """Book spend of one kind (training, evaluation, idle, storage) for the record `subject`."""
    if connection is None:
        with ledger.begin() as own:
            return charge(ledger, kind=kind, subject=subject, usd=usd, quantity=quantity, connection=own)
    values = {"project": ledger.project, "kind": kind, "subject": subject, "usd": usd, "quantity": quantity}
    connection.execute(tables.spend.insert().values(at_ms=now_ms(), **values))
    return None


def summary(ledger: Ledger) -> CostSummary:
    """What was spent, by kind, key and release, and per request and good answer (all spend counts)."""
    request, spend = tables.requests.c, tables.spend.c
    with ledger.read() as connection:
        booked = _sums(connection, spend.kind, spend.usd, spend.project == ledger.project)
        here = request.project == ledger.project
        by_key = _sums(connection, request.key_id, request.cost_usd, here & IS_TRAFFIC)
        by_release = _sums(connection, request.release, request.cost_usd, here)
        copied = _sums(connection, request.variant, request.cost_usd, here & ~IS_TRAFFIC)
        count = select(func.count()).select_from(tables.requests).where(here, IS_TRAFFIC)
        requests = connection.execute(count).scalar_one()
        good = good_answers(connection, ledger.project)
    by_kind = booked | copied
    if requests:
        by_kind["serving"] = by_kind.get("serving", 0.0) + sum(by_key.values())
    total = sum(by_kind.values())
    return CostSummary(
        total_usd=total,
        by_kind=by_kind,
        by_key=by_key,
        by_release=by_release,
        requests=requests,
        good_answers=good,
        per_request_usd=total / requests if requests else None,
        per_good_answer_usd=total / good if good else None,
    )


def good_answers(connection: Connection, project: str) -> int:
    """Requests whose latest feedback is a score of at least one half or, without a score, no correction."""
    column = tables.feedback.c
    latest = select(func.max(column.seq)).where(column.project == project, column.request.is_not(None))
    rows = select(tables.feedback).where(column.seq.in_(latest.group_by(column.request)))
    scored = select(func.count()).select_from(rows.where(column.score >= 0.5).subquery())
    unscored = connection.execute(rows.where(column.score.is_(None)).with_only_columns(column.body)).scalars()
    kept = sum(not parse(bytes(body), Feedback).has_correction for body in unscored)
    return int(connection.execute(scored).scalar_one()) + kept


def _sums(connection: Connection, key: Any, amount: Any, where: Any) -> dict[str, float]:
    query: Select[Any] = select(key, func.sum(amount)).where(where).group_by(key).order_by(key)
    return {name: float(usd) for name, usd in connection.execute(query)}
