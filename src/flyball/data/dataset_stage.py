"""The dataset stage: sources in, a DatasetVersion and its folder out. I/O: reads sources, replaces one folder.

Every row of every source ends on a side or is counted with the reason why not: rows in = rows out + dropped.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import msgspec

from flyball.data.cleaning import is_markup, preparation_of
from flyball.data.columns import text_of
from flyball.data.config import DataConfig, DedupeConfig, SourceConfig
from flyball.data.dataset_folder import replaced_folder
from flyball.data.dataset_version import settings_fingerprint, source_ref, split_ref
from flyball.data.dataset_warnings import write_warnings
from flyball.data.deduplication import Candidate, Verdict, exact_key, find_duplicates, grams_of
from flyball.data.readers.source_rows import read_source
from flyball.data.row_preparation import Preparer
from flyball.data.rows import REJECTS, SPLITS, Reject, Row, RowWriter
from flyball.data.splits import place_of, side_of, validation_from_train
from flyball.data.staging import Staging
from flyball.data.stratification import STEP, moves
from flyball.data.text_profile import make_profile
from flyball.data.validation import (
    Outcome,
    SourceTally,
    check_bounds,
    check_outcome,
    check_source,
    doubts_of,
    doubts_of_sources,
    mapped,
)
from flyball.errors import ConfigError
from flyball.inference.preparation import TextPreparer
from flyball.privacy.redaction import profile_fingerprint
from flyball.records import DatasetVersion
from flyball.telemetry import Progress, quiet

PROGRESS_EVERY = 500
REJECTS_KEPT = 100_000
"""Rejects of one source that are kept one by one; beyond them only their reasons are counted."""
CHECK_EVERY = 10_000
LOOKED_AT = 100_000
"""First rows of a source among which texts are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source of flyball.yaml and where its file is on this machine."""

    config: SourceConfig
    path: Path

    @property
    def name(self) -> str:
        """How records call it: its name, else the file's."""
        return self.config.name or self.path.name


@dataclass(slots=True, kw_only=True)
class RowCounts:
    """What the steps have counted so far; everything that a DatasetVersion says comes from here."""

    tallies: list[SourceTally] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    labels: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    groups: Counter[int] = field(default_factory=Counter)
    row_ids: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    pairs: int = 0

    def drop(self, reject: Reject, writer: RowWriter) -> None:
        """A row that goes: its reason is counted, and where it stood is kept of the first of each source."""
        self.dropped[reject.reason] += 1
        self.rejects[reject.source] += 1
        if self.rejects[reject.source] <= REJECTS_KEPT:
            writer.write(reject)

    def keep(self, side: str, row: Row, writer: RowWriter, *, place: int = 0) -> None:
        """A row that stays, on its side; `place` stands for its group."""
        writer.write(row)
        self.groups[place] += 1
        self.row_ids[side].append(row.row_id)
        self.changed.update(row.steps)
        if row.label is not None:
            self.labels[side][row.label] += 1
            self.pairs += row.rejected is not None

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels of all sides."""
        return tuple(sorted({label for labels in self.labels.values() for label in labels}))

    def outcome(self) -> Outcome:
        """The totals, for the rules of validation."""
        return Outcome(
            rows_in=sum(tally.rows for tally in self.tallies),
            kept={side: len(ids) for side, ids in self.row_ids.items()},
            labels=self.labels,
            dropped=self.dropped,
            groups=len(self.groups),
            largest_group=max(self.groups.values(), default=0),
        )


def build_dataset(
    config: DataConfig,
    *,
    project: str,
    task: str,
    sources: Sequence[Source],
    key: bytes,
    suppressed: frozenset[str] = frozenset(),
    out: Path,
    trains: bool = True,
    progress: Progress = quiet,
) -> DatasetVersion:
    """The dataset of these sources in the folder `out`, which is replaced as a whole or not at all.

    `suppressed` are the subject hashes of erased people; `trains`: some rows must be left to train on. Raises
    InputError for a source or an outcome that breaks a rule of `data.validate`.
    """
    ordered = _in_order(sources)
    books = RowCounts()
    with replaced_folder(out) as folder:
        with RowWriter(folder / f"{REJECTS}.parquet", Reject) as rejects:
            staging = Staging(folder / "staging")
            for source in ordered:
                preparer = Preparer(
                    config=config,
                    source=source.config,
                    name=source.name,
                    task=task,
                    key=key,
                    suppressed=suppressed,
                    prepared=_preparation(source, config, task),
                )
                _collect(source, preparer, books, staging, rejects, progress)
            staging.close()
            progress("finding duplicates", 0, len(books.candidates))
            dedupe = _dedupe_settings(config, task)
            gone = find_duplicates(books.candidates, dedupe)
            # with conflicts kept, copies with another label live on one side and must not be parted
            stratify = trains and task == "classification" and dedupe.conflicts == "drop"
            moved = _moves(books.candidates, gone, config) if stratify else {}
            _write_sides(folder, staging, books, gone, moved, rejects)
        wants_test = config.split.test > 0 or any(source.config.split == "test" for source in ordered)
        wants_test = wants_test and not all(source.config.fields.split for source in ordered)
        outcome = books.outcome()
        check_outcome(outcome, config, task=task, wants_test=wants_test, wants_train=trains)
        doubts = [*doubts_of_sources(books.tallies), *doubts_of(outcome, config, task=task, wants_test=wants_test)]
        write_warnings(folder, doubts)
        make_profile(folder, key)
    return _version(config, project, task, ordered, books)


def _in_order(sources: Sequence[Source]) -> list[Source]:
    """By name, which must be unique: lineage speaks of sources by it."""
    names = Counter(source.name for source in sources)
    twice = [name for name, times in names.items() if times > 1]
    if twice:
        raise ConfigError(
            f"two data sources are called {twice[0]!r}", cure="give each a `name` of its own under data.sources"
        )
    return sorted(sources, key=lambda source: source.name)


def _preparation(source: Source, config: DataConfig, task: str) -> TextPreparer:
    """The steps for the texts of one source, whose first rows are read for whether they are HTML."""
    name = source.config.fields.text
    first = islice(read_source(source.path, source.config), LOOKED_AT)
    values = (text_of(raw.fields, name) for raw in first if raw.fields)
    markup = is_markup(source.config, config.clean, (value for value in values if isinstance(value, str)))
    return TextPreparer(preparation_of(config.clean, task=task, markup=markup))


def _collect(
    source: Source, preparer: Preparer, books: RowCounts, staging: Staging, rejects: RowWriter, progress: Progress
) -> None:
    """Read one source to its end: rows into staging, the rest into the rejects."""
    roles = mapped(source.config.fields)
    people: dict[str, str] = {role: roles[role] for role in ("subject", "group") if role in roles}
    identifiers = {*people.values(), *(name for name in (source.config.fields.id,) if name)}
    tally = SourceTally(name=source.name, people=people, identifiers=sorted(identifiers))
    books.tallies.append(tally)
    split, gives = preparer.config.split, validation_from_train(preparer.config)
    most = preparer.config.max_rows
    for raw in read_source(source.path, source.config):
        tally.see(raw)
        if raw.line % PROGRESS_EVERY == 0:
            progress(f"reading {source.name}", raw.line, 0)
        if tally.rows > most or tally.rows % CHECK_EVERY == 0:
            check_bounds(tally, source.config, preparer.config)
        row = preparer.prepare(raw)
        if isinstance(row, Reject):
            books.drop(row, rejects)
            tally.drop(row)
            continue
        staging.add(len(books.candidates), row)
        place = place_of(preparer.key, row.group)
        declared = preparer.declared(raw)
        side = declared or side_of(place, source.config.split, split, gives=gives)
        books.candidates.append(
            candidate_of(row, side, place=place, declared=source.config.split, stays=declared is not None)
        )
    check_source(tally, source.config)


def candidate_of(row: Row, side: str, *, place: int, declared: str | None, stays: bool = False) -> Candidate:
    """What deduplication and stratifying need of a row; one that `stays` has its side from its own column."""
    return Candidate(
        row_id=row.row_id,
        order=(row.source, row.line),
        side=side,
        label=row.label,
        place=place,
        declared=side if stays else declared,
        stays=stays,
        exact=exact_key(row.text),
        grams=grams_of(row.text),
    )


def _dedupe_settings(config: DataConfig, task: str) -> DedupeConfig:
    """For chat, one question may have several answers: only classification knows contradicting labels."""
    return config.dedupe if task == "classification" else msgspec.structs.replace(config.dedupe, conflicts="keep")


def _moves(candidates: Sequence[Candidate], gone: Mapping[int, Verdict], config: DataConfig) -> dict[int, str]:
    kept = (at for at in range(len(candidates)) if at not in gone)
    return moves(candidates, kept, wants_test=config.split.test > 0)


def _write_sides(
    folder: Path,
    staging: Staging,
    books: RowCounts,
    gone: Mapping[int, Verdict],
    moved: Mapping[int, str],
    rejects: RowWriter,
) -> None:
    """Every staged row to its side or to the rejects, in the order of row ids."""
    with ExitStack() as stack:
        writers = {side: stack.enter_context(RowWriter(folder / f"{side}.parquet", Row)) for side in SPLITS}
        for position, row in staging.ordered():
            verdict = gone.get(position)
            if verdict is None:
                candidate = books.candidates[position]
                side = moved.get(position, candidate.side)
                if side != candidate.side:
                    row = replace(row, steps=(*row.steps, STEP))
                books.keep(side, row, writers[side], place=candidate.place)
            else:
                books.drop(_reject(row, verdict), rejects)
    (folder / "staging").rmdir()


def _reject(row: Row, verdict: Verdict) -> Reject:
    return Reject(
        row_id=row.row_id,
        source=row.source,
        line=row.line,
        reason=verdict.reason,
        detail=verdict.detail,
        subject=row.subject,
    )


def _version(
    config: DataConfig, project: str, task: str, sources: Sequence[Source], books: RowCounts
) -> DatasetVersion:
    return DatasetVersion(
        project=project,
        task=task,
        settings=settings_fingerprint(config, [(source.name, source.config) for source in sources]),
        parents=(),
        sources=tuple(source_ref(tally.name, tally.digests) for tally in books.tallies),
        splits=tuple(split_ref(side, books.row_ids[side]) for side in SPLITS),
        labels=tuple(sorted({label for side in books.labels.values() for label in side}))
        if task == "classification"
        else (),
        rows_in=books.outcome().rows_in,
        dropped=dict(sorted(books.dropped.items())),
        changed=dict(sorted(books.changed.items())),
        redaction=profile_fingerprint(config.redact.name),
        pairs=books.pairs,
    )
