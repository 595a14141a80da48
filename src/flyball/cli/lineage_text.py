"""Lineage as a person reads it: the records with whole ids, the rows nearest to what was asked, then the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from flyball.cli.output import pairs

WIDTH = 300


def lineage_text(document: Mapping[str, Any], limit: int | None) -> str:
    """Back from an answer: one line per record. Forward from a row or person: what was made from it, by type."""
    if "descendants" in document:
        return "\n".join([*_made(document), *_listed(document["rows"], limit)])
    records = {key: value["id"] for key, value in document.items() if isinstance(value, Mapping) and value.get("id")}
    if document.get("missing"):
        records["not in this ledger"] = ", ".join(document["missing"])
    lines = [pairs(records)]  # whole ids
    close = document.get("nearest", ())
    if close:
        lines.append(click.style("rows most like what was asked", bold=True))
        lines += [line for row in close for line in _near(row)]
    rows, left_out = document.get("rows", ()), document.get("rows_left_out", 0)
    shown = rows if not close or limit is None else ()
    return "\n".join([*lines, *_listed(shown, limit, total=len(rows) + left_out)])


def _made(document: Mapping[str, Any]) -> Iterator[str]:
    made = [one for found in document["descendants"].values() for one in found]
    yield pairs({"answers": sum(one.get("requests", 0) for one in made)})
    found = {"datasets": document["datasets"]}
    found |= {
        kind: sorted({one["id"] for one in made if one["type"] == kind}) for kind in sorted({o["type"] for o in made})
    }
    for kind, names in found.items():
        yield click.style(kind, bold=True)
        yield from (f"  {name}" for name in names)


def _near(row: Mapping[str, Any]) -> Iterator[str]:
    alike = f"{row['split']}, {row['likeness']:.0%} alike"
    yield f"  {row['source']}:{row['line']}  {row['content_hash']}  {alike}{_since(row)}"
    yield from (f"    {turn['role']}: {_line(turn['content'])}" for turn in row["texts"])


def _since(row: Mapping[str, Any]) -> str:
    """What happened to a row, or to the file that its line is of, since it was read."""
    if row.get("erased"):
        return "  erased"
    return "  line as read then: the source changed since" if row.get("source_changed") else ""


def _line(text: str) -> str:
    """A text on one line, without what a terminal would obey."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _listed(rows: Sequence[Mapping[str, Any]], limit: int | None, *, total: int | None = None) -> Iterator[str]:
    total = len(rows) if total is None else total
    shown = rows[:limit]
    if total and not shown:
        yield f"{click.style('rows', bold=True)}  {total} (--all lists them)"
        return
    yield f"{click.style('rows', bold=True)}  {total}"
    yield from (f"  {row['source']}:{row['line']}  {row['content_hash']}  {row['split']}{_since(row)}" for row in shown)
    if total > len(shown):
        yield f"  … and {total - len(shown)} more (--all lists them)"
