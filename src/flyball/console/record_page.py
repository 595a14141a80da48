"""One record with its canonical content and its edges both ways. I/O: reads the ledger and .flyball/."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec
from sqlalchemy import func, select

from flyball.console.build_files import curve_of, curve_sheet, mistakes
from flyball.console.record_facts import TITLES, Fact, facts, link
from flyball.console.record_tables import RecordTable, sheets
from flyball.console.request_page import erased_effect
from flyball.errors import NotFoundError
from flyball.records import (
    JSON,
    EvalReport,
    Feedback,
    Record,
    Release,
    RequestRecord,
    TrainingRun,
    canonical_bytes,
    name_of,
    parents_of,
    parse,
)
from flyball.storage import tables
from flyball.storage.ledger import Edge, Ledger
from flyball.storage.traffic import IS_TRAFFIC
from flyball.training.loss_curve import CurvePoint

EDGES_SHOWN = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A record at the other end of an edge."""

    relation: str
    kind: str
    name: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPage:
    """Everything on the page of one record; `requests`: how many answers a release gave."""

    name: str
    kind: str
    title: str
    record: Record
    at_ms: int | None
    facts: tuple[Fact, ...]
    sheets: tuple[RecordTable, ...]
    curve: tuple[CurvePoint, ...]
    content: str
    recorded: Mapping[str, JSON]
    parents: tuple[Neighbour, ...]
    children: tuple[Neighbour, ...]
    children_left_out: int
    requests: int
    erased: str


def read_record(ledger: Ledger, name: str, *, root: Path) -> RecordPage:
    """The record `name` from the ledger, with what lies beside it; NotFoundError otherwise."""
    record, recorded, at_ms = _found(ledger, name)
    name = name_of(record)
    kind = type(record).__name__
    parents = ledger.parents(name) or [Edge(child=name, relation=r, parent=p) for r, p in parents_of(record)]
    children = ledger.children(name)
    kinds = _kinds(ledger, {edge.parent for edge in parents} | {edge.child for edge in children[:EDGES_SHOWN]})
    curve = curve_of(root, name) if isinstance(record, TrainingRun) else ()
    beside = [curve_sheet(curve)] if curve else [mistakes(root, name)] if isinstance(record, EvalReport) else []
    return RecordPage(
        name=name,
        kind=kind,
        title=TITLES[kind],
        record=record,
        at_ms=at_ms,
        facts=facts(record),
        sheets=(*sheets(record), *beside),
        curve=curve,
        content=readable(record),
        recorded=recorded,
        parents=tuple(_neighbour(edge.relation, edge.parent, kinds) for edge in parents),
        children=tuple(_neighbour(edge.relation, edge.child, kinds) for edge in children[:EDGES_SHOWN]),
        children_left_out=max(0, len(children) - EDGES_SHOWN),
        requests=_requests(ledger, name) if isinstance(record, Release) else 0,
        erased=erased_effect(ledger, name),
    )


def readable(record: Record) -> str:
    """The canonical bytes with line breaks: the same JSON, in the same order."""
    return msgspec.json.format(canonical_bytes(record), indent=2).decode()


def _found(ledger: Ledger, name: str) -> tuple[Record, Mapping[str, JSON], int | None]:
    try:
        stored = ledger.get(name)
        return stored.record, stored.recorded, stored.at_ms
    except NotFoundError:
        for table, kind in ((tables.requests, RequestRecord), (tables.feedback, Feedback)):
            query = select(table.c.body, table.c.at_ms).where(table.c.project == ledger.project, table.c.id == name)
            with ledger.read() as connection:
                row = connection.execute(query).one_or_none()
            if row is not None:
                return cast(Record, parse(bytes(row.body), cast(Any, kind))), {}, row.at_ms
        raise


def _kinds(ledger: Ledger, names: set[str]) -> dict[str, str]:
    column = tables.records.c
    query = select(column.id, column.type).where(column.project == ledger.project, column.id.in_(names))
    with ledger.read() as connection:
        return {row.id: row.type for row in connection.execute(query)}


def _neighbour(relation: str, name: str, kinds: Mapping[str, str]) -> Neighbour:
    kind = kinds.get(name)
    request = kind is None and relation == "request"
    title = TITLES.get(kind or "", "Request" if request else "not in this ledger")
    href = f"/requests/{name}" if request else str(link(name))
    return Neighbour(relation=relation.replace("_", " "), kind=title, name=name, href=href)


def _requests(ledger: Ledger, name: str) -> int:
    column = tables.requests.c
    where = (column.project == ledger.project, column.release == name, IS_TRAFFIC)
    with ledger.read() as connection:
        return int(connection.execute(select(func.count()).select_from(tables.requests).where(*where)).scalar_one())
