"""Where an answer came from, and where a row or a person went: a walk on the records. I/O: ledger, indexes, loop/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flyball.errors import FlyballError, NotFoundError
from flyball.records import DatasetVersion, name_of
from flyball.records.canonical import to_plain
from flyball.records.identifiers import canonical_text
from flyball.records.record_files import read_document
from flyball.registry.lineage import ancestry, descendants
from flyball.wiring import Project
from flyball.workflows.nearest_rows import asked_text, nearest
from flyball.workflows.record_intake import RowRef, rows_of

NEAREST = 5


def lineage(project: Project, name: str, *, most_rows: int | None = None) -> dict[str, Any]:
    """The story of a request or record back to its rows; of a row or a person, forward.

    Keys for an answer: request, release, deployment, model, training_run, dataset, nearest (the rows most like what
    was asked, with their texts by role), rows (source, line, content hash; `most_rows` of them), rows_left_out. A row
    that was erased says so; one that is not in the present dataset, of a source that changed since, has source_changed.
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
        found["nearest"] = nearest_rows(project, dataset, str(request["id"]), trained)
    places = Present.of(project)
    sources = dataset["sources"] if isinstance(dataset, Mapping) else ()
    found["rows"] = [places.describe(row, sources) for row in trained[:most_rows]]
    found["rows_left_out"] = len(trained) - len(found["rows"])
    return found


def nearest_rows(
    project: Project, dataset: Mapping[str, Any], request: str, rows: Sequence[RowRef]
) -> list[dict[str, Any]]:
    """The training rows most like what a request asked: where they came from, and their texts by role."""
    found = nearest(project, str(dataset["id"]), asked_text(project, request), limit=NEAREST)
    wanted, present = {one["row"] for one in found}, Present.of(project)
    places = {row.row: present.describe(row, dataset["sources"]) for row in rows if row.row in wanted}
    return [places[one.pop("row")] | one for one in found if one["row"] in places]


@dataclass(frozen=True, slots=True)
class Present:
    """The dataset as it stands: its row index says on which line of a source a row is now."""

    rows: Mapping[str, RowRef]
    sources: Mapping[str, str]
    """The hash of each source that was read for it."""

    @classmethod
    def of(cls, project: Project) -> Present:
        """Empty where there is no dataset here, or one that rows were taken out of without reading sources again."""
        try:
            version, _ = read_document(project.places.dataset / "record.json")
        except FlyballError:
            return cls({}, {})
        if not isinstance(version, DatasetVersion) or version.parents:
            return cls({}, {})
        rows = {row.row: row for row in rows_of(project, name_of(version))}
        return cls(rows, {source.name: source.content_hash for source in version.sources})

    def describe(self, row: RowRef, sources: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Where a row is now; `erased`, or `source_changed` where the line is that of a source as it was read then."""
        now = None if row.erased else self.rows.get(row.row)
        found = now or row
        place = {"source": found.source, "line": found.line, "content_hash": row.row, "split": row.split}
        if row.erased:
            return {**place, "erased": True}
        read = {source["name"]: source["content_hash"] for source in sources}
        changed = now is None and read.get(row.source) != self.sources.get(row.source)
        return {**place, "source_changed": True} if changed else place


def forward(project: Project, name: str) -> dict[str, Any]:
    """What was made from a row (its content hash) or a person's rows (the id in the source)."""
    subject = project.key.hash("subject", canonical_text(name) or name)
    datasets, present = [], Present.of(project)
    rows: dict[str, dict[str, Any]] = {}
    for stored in project.ledger.find(DatasetVersion, limit=1000):
        mine = [row for row in rows_of(project, stored.id) if name in (row.row, row.subject) or row.subject == subject]
        if mine:
            datasets.append(stored.id)
            sources = to_plain(stored.record)["sources"]
            for row in mine:
                rows.setdefault(row.row, present.describe(row, sources))  # the newest version first
    if not rows:
        raise NotFoundError(
            f"nothing here is called {name}: no request, record, row or person",
            cure="give a request id, a record's fingerprint, a row's content hash, or a subject id of your data",
        )
    made = {dataset: list(descendants(project.ledger, dataset)) for dataset in datasets}
    return {"rows": list(rows.values()), "datasets": datasets, "descendants": made}
