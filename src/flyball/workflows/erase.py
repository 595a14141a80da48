"""`flyball subject erase`: one person, out of every store of this project, with a signed receipt. I/O: all of them.

Order inside the build's files: the suppression list first, then raw sources and corrections, then the objects that DVC
keeps of older contents, then reports, then the dataset, rebuilt without that person, whose row index then forgets whose
rows they were. The ledger's part is compliance's own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from flyball.compliance.byte_search import search
from flyball.compliance.erasers import SOURCES_UNREAD, Eraser, Traces
from flyball.compliance.erasure import erase
from flyball.compliance.export import export_subject as export
from flyball.compliance.name_suggestions import near_names, recorded_names, same_otherwise_spelt
from flyball.compliance.subjects import Person
from flyball.compliance.tombstones import keep_tombstone
from flyball.data.config import SourceConfig
from flyball.data.dataset_folder import replaced_folder
from flyball.data.erasure.dataset import rewrite_without
from flyball.data.erasure.mentions import mentions_in
from flyball.data.erasure.sources import rewrite_source
from flyball.data.erasure.subject_rows import rows_of_person, sought, subjects_of
from flyball.data.readers.text_folder import SUFFIXES
from flyball.data.rows import SPLITS, read_rejects, read_rows
from flyball.dvc import objects
from flyball.dvc.pipeline import reproduce
from flyball.errors import FlyballError, InputError, NotFoundError, RefusedError
from flyball.gateway.recording.ingester import ingest_once
from flyball.records import JSON, DatasetVersion, name_of
from flyball.records.canonical import to_plain
from flyball.records.identifiers import canonical_text
from flyball.records.record_files import read_document, write_document
from flyball.settings import source_path
from flyball.whole_files import replace_file
from flyball.wiring import Project
from flyball.workflows.backup import leave_word
from flyball.workflows.build_lock import only_one
from flyball.workflows.child_processes import ingest_context
from flyball.workflows.record_intake import keep_rows, rows_of, write_rows
from flyball.workflows.stage import suppressed


def erase_subject(project: Project, subject: str, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Erase a person everywhere; the signed receipt. Killed anywhere, the same command goes on."""
    keep_tombstone(project.places.state, project.key, subject)
    leave_word(project, say)
    with only_one(project.places.run / "build.lock", what="a build", wait=True, say=say):
        ingest_once(ingest_context(project))  # what waits in segments is filed, so that it can be forgotten
        erasers: list[Eraser] = [SourceEraser(project, say), ReportEraser(project), DatasetEraser(project, say)]
        receipt = erase(project.ledger, project_key=project.key, subject=subject, erasers=erasers)
    return dict(to_plain(receipt))


def near_subjects(project: Project, subject: str, *, found: bool) -> list[str]:
    """Names near one that nobody was found under; where somebody was, those that differ in their spelling alone.

    From the sources as they stand and from recorded requests.
    """
    known = recorded_names(project.ledger, project.key, subject)
    for source in project.settings.data.sources:
        path = source_path(source.path, project.root)
        if source.fields.subject and path.exists():
            with suppress(InputError):  # what cannot be read was told by the erasure
                known |= subjects_of(path, source)
    return same_otherwise_spelt(canonical_text(subject) or subject, known) if found else near_names(subject, known)


def export_subject(project: Project, subject: str) -> dict[str, Any]:
    """Everything held about a person: requests, feedback, rows of the current dataset, erasures."""

    def rows(person: Person) -> Iterator[dict[str, JSON]]:
        if not (project.places.dataset / "record.json").is_file():
            if any(project.ledger.find(DatasetVersion, limit=1)):
                raise NotFoundError(
                    "the dataset is not here, but there was one", cure="run `dvc pull` or `flyball data`"
                )
            return
        for split in SPLITS:
            for row in read_rows(project.places.dataset, split):
                if row.subject == person.hash:
                    given = {"split": split, "text": row.text, "label": row.label}
                    rejected = {} if row.rejected is None else {"rejected": row.rejected}
                    yield {**given, **rejected, "source": row.source, "line": row.line}

    return dict(export(project.ledger, project_key=project.key, subject=subject, others={"rows": rows}))


@dataclass(frozen=True, slots=True)
class SourceEraser:
    """Raw files inside and outside the project that its settings name, the corrections, and DVC's copies of both."""

    project: Project
    say: Callable[[str], None]
    name: str = "sources"
    clean: set[Path] = field(default_factory=set)
    """Objects in DVC's cache that were looked into already, and name nobody of interest."""

    def plan(self, person: Person) -> Traces:
        files, told = 0, list[str]()
        for path, config in self.files():
            with self.readable(path, told):
                files += self.rows(path, config, person) > 0
        traces = self._traces("files", files, self.naming(person))
        if not files and not traces.counts["objects"]:
            traces = replace(traces, mentions=self.mentions(person))
        notes = {SOURCES_UNREAD: len(told), "remote_objects_unread": objects.only_elsewhere(self.project)}
        return replace(traces, counts={**traces.counts, **{name: count for name, count in notes.items() if count}})

    def apply(self, person: Person) -> Traces:
        suppress_subject(self.project, person)
        rows, told = 0, list[str]()
        for path, config in self.files():
            if self.was_removed(path, config):
                continue  # by a run of this erasure that was killed
            with self.readable(path, told):
                rows += rewrite_source(path, config, person.hash, self.project.key.row_key, names=[person.subject])
        for problem in told:
            self.say(problem)
        naming = self.naming(person)
        objects.remove(self.project, naming.paths)
        self.verify(person)
        elsewhere = objects.only_elsewhere(self.project)
        notes = {SOURCES_UNREAD: len(told), "remote_objects_unread": elsewhere}
        traces = self._traces("rows", rows, naming)
        counts = {**traces.counts, **{name: count for name, count in notes.items() if count}}
        return replace(traces, counts=counts, mentions=self.mentions(person))

    def mentions(self, person: Person) -> dict[str, Any]:
        """Where sources name the person outside of the person's rows: that stays, and the receipt says so."""
        found = {}
        for path, config in self.files():
            if self.was_removed(path, config):
                continue
            with suppress(InputError):  # told before
                key = self.project.key.row_key
                where = mentions_in(path, config, name=person.subject, subject=person.hash, key=key)
                if where:
                    found[config.name or config.path] = where
        return found

    def naming(self, person: Person) -> objects.Naming:
        """The objects in DVC's cache that name the person; each is looked into once in an erasure."""
        return objects.naming(self.project, person, row_ids(self.project, person), self.clean)

    @contextmanager
    def readable(self, path: Path, told: list[str]) -> Iterator[None]:
        """What is wrong with a source that cannot be read, in `told`: it keeps nobody from leaving all other stores."""
        try:
            yield
        except InputError as error:
            told.append(
                f"nobody can tell whose rows {path} holds, so that they stay: {error.message}\n"
                f"  → {error.cure}; then run the same command again"
            )

    def verify(self, person: Person) -> None:
        """RefusedError where a source or an object still holds a row of the person: then there is no receipt."""
        left: list[Path] = []
        for path, config in self.files():
            with suppress(InputError):  # told before
                if not self.was_removed(path, config) and self.rows(path, config, person):
                    left.append(path)
        left += self.naming(person).paths
        if left:
            raise RefusedError(
                f"rows of the person are still in {left[0]}" + (f" and {len(left) - 1} more" if left[1:] else ""),
                cure="end what writes there and run the same command again: it goes on where it is",
            )

    def rows(self, path: Path, config: SourceConfig, person: Person) -> int:
        """How many rows of a source are the person's."""
        who = sought(path, config, person.hash, self.project.key.row_key, [person.subject])
        return rows_of_person(path, config, who) if who else 0

    @staticmethod
    def was_removed(path: Path, config: SourceConfig) -> bool:
        """Whether a source is one text file, and gone: that is how it is erased (`plan` refuses what is not there)."""
        unpacked = Path(path.name.lower().removesuffix(".gz").removesuffix(".gzip"))
        is_text = config.format == "text" or (config.format is None and unpacked.suffix in SUFFIXES)
        return is_text and not path.exists()

    def files(self) -> list[tuple[Path, SourceConfig]]:
        corrections = self.project.places.corrections
        return [
            (path, config)
            for path, config in objects.sources_of(self.project)
            if path != corrections or (path.is_file() and path.stat().st_size)
        ]

    @staticmethod
    def _traces(what: str, count: int, naming: objects.Naming) -> Traces:
        unread = {"objects_unread": naming.unread} if naming.unread else {}
        looked = {"objects_searched": naming.searched} if naming.searched else {}
        kept = {"objects_mentioning": naming.mentioning} if naming.mentioning else {}
        return Traces(counts={what: count, "objects": len(naming.paths), **unread, **looked, **kept})


def suppress_subject(project: Project, person: Person) -> None:
    """Add the person's keyed hash to the list that travels with the repository."""
    path = project.places.suppressions
    listed = sorted(suppressed(path) | {person.hash})
    replace_file(path, msgspec.json.format(msgspec.json.encode(listed), indent=1) + b"\n", durable=True)


@dataclass(frozen=True, slots=True)
class DatasetEraser:
    """Dataset versions: the present one is rebuilt without the person; of older ones no object is left.

    Where the rest cannot be built (a rule of data.validate is broken without these rows) the person's rows are taken
    out of the version as it stands, and the receipt counts it as one that needs attention.
    """

    project: Project
    say: Callable[[str], None]
    name: str = "datasets"

    def plan(self, person: Person) -> Traces:
        affected = {
            stored.id: None
            for stored in self.project.ledger.find(DatasetVersion, limit=10_000)
            if any(row.subject == person.hash for row in rows_of(self.project, stored.id))
        }
        return Traces(counts={"rows": self.present(person)}, records=affected)

    def present(self, person: Person) -> int:
        """Rows and rejects of the person in the dataset as it stands."""
        folder = self.project.places.dataset
        if not (folder / "record.json").is_file():
            return 0
        rows = sum(row.subject == person.hash for split in SPLITS for row in read_rows(folder, split))
        return rows + sum(reject.subject == person.hash for reject in read_rejects(folder))

    def apply(self, person: Person) -> Traces:
        count = self.present(person)
        if not (self.project.places.dataset / "record.json").is_file():
            return Traces(counts={"rows": 0})
        old, _ = read_document(self.project.places.dataset / "record.json")
        assert isinstance(old, DatasetVersion)
        attention = self.rebuild(old, person)
        new, recorded = read_document(self.project.places.dataset / "record.json")
        assert isinstance(new, DatasetVersion)
        self.project.ledger.append(new, recorded=recorded, links=[("erased", name_of(old))] if new != old else [])
        (self.project.places.rows / f"{name_of(new)}.jsonl.gz").unlink(missing_ok=True)  # the same rows, on other lines
        keep_rows(self.project, new, self.project.places.dataset)
        forget_rows(self.project, person)
        if left := self.present(person):
            raise RefusedError(
                f"{left} rows of the person are still in {self.project.places.dataset}",
                cure="run the same command again: it goes on where it is",
            )
        needs = {"versions_needing_attention": 1} if attention else {}
        return Traces(counts={"rows": count, **needs}, records={name_of(old): name_of(new)} if new != old else {})

    def rebuild(self, old: DatasetVersion, person: Person) -> bool:
        """The dataset without the person; True where it could not be rebuilt, so that somebody has to look at it."""
        folder = self.project.places.dataset
        try:
            reproduce(self.project, "dataset")
        except FlyballError as error:
            if error.exit_code not in (InputError.exit_code, NotFoundError.exit_code):
                raise  # a full disk, a lock: nothing that the rows decide
            if self.present(person):
                with replaced_folder(folder) as partial:
                    erased, _ = rewrite_without(folder, person.hash, partial, old, key=self.project.key.row_key)
                    write_document(partial / "record.json", erased, {})
            self.say(f"the person's rows are gone, but the dataset needs attention: {error.message}\n  → {error.cure}")
            return True
        return False


def row_ids(project: Project, person: Person) -> list[str]:
    """The ids of the person's rows in all dataset versions, as row indexes know them until they forget."""
    found = {
        row.row
        for stored in project.ledger.find(DatasetVersion, limit=10_000)
        for row in rows_of(project, stored.id)
        if row.subject == person.hash
    }
    return sorted(found)


def forget_rows(project: Project, person: Person) -> None:
    """Whose a row was is said by no row index any more; that it was erased is, so past decisions recompute."""
    for path in project.places.rows.glob("*.jsonl.gz"):
        dataset = path.name.removesuffix(".jsonl.gz")
        rows = rows_of(project, dataset)
        if any(row.subject == person.hash for row in rows):
            mine = (row.subject == person.hash for row in rows)
            forgotten = (msgspec.structs.replace(row, subject=None, erased=True) for row in rows)
            write_rows(path, (new if gone else old for old, new, gone in zip(rows, forgotten, mine, strict=True)))


@dataclass(frozen=True, slots=True)
class ReportEraser:
    """Evaluation reports show failed examples: those with a row of the person lose their pages, not their scores."""

    project: Project
    name: str = "reports"

    def plan(self, person: Person) -> Traces:
        return Traces(counts={"pages": len(self.pages(person))})

    def apply(self, person: Person) -> Traces:
        pages = self.pages(person)
        for page in pages:
            page.unlink(missing_ok=True)
        shutil.rmtree(self.project.places.state / "partial", ignore_errors=True)
        return Traces(counts={"pages": len(pages)})

    def pages(self, person: Person) -> list[Path]:
        """Pages that show a text of the person; found by the ids of his rows, which report.json names."""
        mine = row_ids(self.project, person)
        if not mine:
            return []
        places = self.project.places
        found = [hit.path for hit in search([places.reports, places.evaluation], mine)]
        shown = {path.parent for path in found if path.name == "report.json"}  # the other pages show texts without ids
        pages = {folder / name for folder in shown for name in objects.PAGES}
        return sorted(path for path in pages if path.is_file())
