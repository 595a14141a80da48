"""Where an answer came from, and where a row or a person went: a walk on the records. I/O: ledger, indexes, loop/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flyball.errors import NotFoundError
from flyball.records import DatasetVersion
from flyball.records.identifiers import canonical_text
from flyball.registry.lineage import ancestry, descendants
from flyball.wiring import Project
from flyball.workflows.nearest_rows import asked_text, nearest
from flyball.workflows.record_intake import RowRef, rows_of

NEAREST = 5


def lineage(project: Project, name: str, *, most_rows: int | None = None) -> dict[str, Any]:
    """The story of a request or record back to its rows; of a row or a person, forward.

    Keys for an answer: request, release, deployment, model, training_run, dataset, nearest (the rows most like what
    was asked, with their texts by role), rows (source, line, content hash; `most_rows` of them), rows_left_out.
    """
    try:
        found = dict(ancestry(project.ledger, name))
    except NotFoundError:
        return forward(project, name)
    dataset = found.get("dataset")
    rows = rows_of(project, str(dataset["id"])) if isinstance(dataset, Mapping) else []
    trained = [row for row in rows if row.split != "test"]
    request = found.get("request")
    if isinstance(request, Mapping) and isinstance(dataset, Mapping):
        found["nearest"] = nearest_rows(project, str(dataset["id"]), str(request["id"]), trained)
    found["rows"] = [describe(row) for row in trained[:most_rows]]
    found["rows_left_out"] = len(trained) - len(found["rows"])
    return found


def nearest_rows(project: Project, dataset: str, request: str, rows: Sequence[RowRef]) -> list[dict[str, Any]]:
    """The training rows most like what a request asked: where they came from, and their texts by role."""
    places = {row.row: describe(row) for row in rows}
    found = nearest(project, dataset, asked_text(project, request), limit=NEAREST)
    return [places[one.pop("row")] | one for one in found if one["row"] in places]


def describe(row: RowRef) -> dict[str, Any]:
    return {"source": row.source, "line": row.line, "content_hash": row.row, "split": row.split}


def forward(project: Project, name: str) -> dict[str, Any]:
    """What was made from a row (its content hash) or a person's rows (the id in the source)."""
    subject = project.key.hash("subject", canonical_text(name) or name)
    datasets = []
    rows: dict[str, dict[str, Any]] = {}
    for stored in project.ledger.find(DatasetVersion, limit=1000):
        mine = [row for row in rows_of(project, stored.id) if name in (row.row, row.subject) or row.subject == subject]
        if mine:
            datasets.append(stored.id)
            rows.update({row.row: describe(row) for row in mine})
    if not rows:
        raise NotFoundError(
            f"nothing here is called {name}: no request, record, row or person",
            cure="give a request id, a record's fingerprint, a row's content hash, or a subject id of your data",
        )
    made = {dataset: list(descendants(project.ledger, dataset)) for dataset in datasets}
    return {"rows": list(rows.values()), "datasets": datasets, "descendants": made}
