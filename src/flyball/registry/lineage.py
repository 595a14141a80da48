"""Lineage: from an answer or any record back to its data, and forward to all that came of it. I/O: reads the ledger."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from flyball.errors import NotFoundError
from flyball.records import Record, Release, TrainingRun, name_of, parents_of
from flyball.records.canonical import to_plain
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import IS_TRAFFIC, get_request

KEYS = {
    "RequestRecord": "request",
    "Release": "release",
    "Deployment": "deployment",
    "ModelVersion": "model",
    "TrainingRun": "training_run",
    "DatasetVersion": "dataset",
    "GateDecision": "decision",
    "EvalReport": "report",
    "Feedback": "feedback",
    "Finding": "finding",
    "Proposal": "proposal",
}
ALWAYS = ("request", "release", "deployment", "model", "training_run", "dataset")


def ancestry(ledger: Ledger, name: str) -> dict[str, Any]:
    """Where a request or record came from: one document per kind, the nearest where there are several.

    The keys of ALWAYS are there even when there is nothing (None). `teacher` is the model that the training learned
    from beside its rows. `missing` lists parents that the ledger does not
    hold, such as a base model that was never imported. NotFoundError when `name` itself is unknown.
    """
    found: dict[str, Any] = dict.fromkeys(ALWAYS)
    missing: list[str] = []
    waiting, seen, teachers = deque([name]), set[str](), set[str]()
    while waiting:
        current = waiting.popleft()
        if current in seen:
            continue
        seen.add(current)
        try:
            record, document = _look_up(ledger, current)
        except NotFoundError:
            if current == name:
                raise
            missing.append(current)
            continue
        key = "teacher" if current in teachers else KEYS[document["type"]]
        if isinstance(record, TrainingRun) and record.teacher:
            teachers.add(record.teacher)
        if found.get(key) is None:
            found[key] = document
        waiting.extend(_parents(ledger, record, document["id"]))
    if missing:
        found["missing"] = missing
    return found


def descendants(ledger: Ledger, name: str) -> list[dict[str, Any]]:
    """All records that came from `name`, nearest first: id, type, how they came from which parent, and erasure marks.

    A release tells how many requests it answered instead of listing them. Nothing is said of `name` itself.
    """
    made: list[dict[str, Any]] = []
    waiting, seen = deque([name]), {name}
    while waiting:
        for edge in ledger.children(waiting.popleft()):
            if edge.child in seen:
                continue
            seen.add(edge.child)
            try:
                record = ledger.get(edge.child).record
            except NotFoundError:
                continue  # another project's
            entry: dict[str, Any] = {
                "id": edge.child,
                "type": type(record).__name__,
                "relation": edge.relation,
                "parent": edge.parent,
            }
            if isinstance(record, Release):
                entry["requests"] = _requests_of(ledger, edge.child)
            made.append(entry)
            waiting.append(edge.child)
    marks = erasures_of(ledger, [entry["id"] for entry in made])
    return [{**entry, "erased": marks.get(entry["id"], [])} for entry in made]


def erasures_of(ledger: Ledger, names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """What erasure did to these records: effect (rewritten, marked, deleted), what took their place, the receipt."""
    table = tables.erasures
    marks: dict[str, list[dict[str, Any]]] = {}
    with ledger.read() as connection:
        for begin in range(0, len(names), 500):  # SQLite's limit on variables in one statement
            query = select(table).where(table.c.project == ledger.project, table.c.old.in_(names[begin : begin + 500]))
            for row in connection.execute(query.order_by(table.c.seq)):
                mark = {"effect": row.effect, "new": row.new, "receipt": row.receipt, "at_ms": row.at_ms}
                marks.setdefault(row.old, []).append(mark)
    return marks


def _look_up(ledger: Ledger, name: str) -> tuple[Record, dict[str, Any]]:
    """A record of `records` or a request, and its document."""
    try:
        stored = ledger.get(name)
        record, beside = stored.record, {"recorded": dict(stored.recorded), "at_ms": stored.at_ms}
    except NotFoundError:
        record, beside = get_request(ledger, name), {}
    identifier = name_of(record)
    marks = erasures_of(ledger, [identifier]).get(identifier, [])
    document = {"id": identifier, "type": type(record).__name__, **to_plain(record), **beside, "erased": marks}
    return record, document


def _parents(ledger: Ledger, record: Record, identifier: str) -> list[str]:
    """Parents by the record itself, then by further links in the ledger."""
    own = [parent for _, parent in parents_of(record)]
    return own + [edge.parent for edge in ledger.parents(identifier) if edge.parent not in own]


def _requests_of(ledger: Ledger, release: str) -> int:
    column = tables.requests.c
    query = select(func.count()).where(column.project == ledger.project, column.release == release, IS_TRAFFIC)
    with ledger.read() as connection:
        return int(connection.execute(query).scalar_one())
