"""The ingester: from segments into the ledger, each record exactly once. I/O: segment files, the ledger.

A batch and the offset it reached are one transaction, and adding a record twice does nothing: kill -9 at any time loses
and doubles nothing. Requests of a pass go in before its feedback, so that a feedback finds its request. A segment is
deleted once its writer has let go of it and all of it is in the ledger; one with damaged frames is kept in
segments/corrupt, what can be read of it is taken in, and a Finding says so; when that folder takes more than a quarter
of recording.max_disk_mb its oldest are deleted, and a Finding names each.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from sqlalchemy import Connection, delete, select, update
from sqlalchemy.exc import SQLAlchemyError

from flyball.cost.settlement import book_recorded, recorded_spend, settle_dead
from flyball.errors import CorruptionError, FlyballError
from flyball.gateway.context import IngestContext
from flyball.gateway.recording.ledger_writer import LedgerWriter
from flyball.gateway.recording.segment_format import (
    Entry,
    FeedbackEntry,
    NewerSegment,
    RequestEntry,
    SegmentReader,
    TornHeader,
    decode,
)
from flyball.gateway.recording.worker_locks import dead_workers, forget, worker_of
from flyball.records import Finding, RequestRecord
from flyball.records.identity import uuid7
from flyball.storage import tables
from flyball.storage.ledger import insert_new
from flyball.telemetry import log

POLL_S = 0.1
REST_S = 0.25
"""After a batch: many small transactions cost more than a few large ones, also under load."""
BATCH = 256
RETRY_S = 1.0
SETTLE_EVERY_S = 0.5
CORRUPT = "corrupt"


@dataclass(slots=True)
class Progress:
    """What one pass did."""

    entries: int = 0
    more: bool = False  # there was more than one batch, or something had to wait for the next
    damaged: int = 0
    torn_bytes: int = 0
    deleted: int = 0


@dataclass(slots=True)
class Segment:
    """One segment file during a pass."""

    path: Path
    reader: SegmentReader
    begin: int
    offset: int
    end_of_batch: int
    damaged: int = 0
    lost: bool = False
    more: bool = False
    entries: list[tuple[Entry, int]] = field(default_factory=list)  # with the offset before each

    @property
    def marker(self) -> Path:
        """Says that damage in this segment was reported, once."""
        return self.path.with_suffix(".damaged")

    def cut_before(self, unwanted: set[str]) -> None:
        """Leave the rest of the batch for a later pass, from the first feedback in `unwanted` on."""
        for entry, begin in self.entries:
            if isinstance(entry, FeedbackEntry) and entry.feedback.id in unwanted:
                self.offset, self.more = begin, True
                return


def run_ingester(context: IngestContext, *, stop: Callable[[], bool] = lambda: False) -> None:
    """Take segments in until `stop()`; one ingester per folder works, others wait for it."""
    context.segments_dir.mkdir(parents=True, exist_ok=True)
    with _only_one(context.segments_dir, stop):
        filing = LedgerWriter(context)
        settled_at = 0.0
        while not stop():
            try:
                progress = ingest_pass(context, filing)
                if time.monotonic() - settled_at > SETTLE_EVERY_S:
                    settled_at = time.monotonic()
                    settle_the_dead(context)
            except (FlyballError, SQLAlchemyError, OSError) as error:  # the ledger is away: segments wait
                log.error("the ingester waits %.0f s: %s", RETRY_S, error)
                time.sleep(RETRY_S)
                continue
            if progress.entries == 0 or not progress.more:
                time.sleep(REST_S if progress.entries else POLL_S)


def ingest_once(context: IngestContext) -> int:
    """Take in all that is there now; how many entries that were."""
    filing, total = LedgerWriter(context), 0
    while (progress := ingest_pass(context, filing)).entries:
        total += progress.entries
    settle_the_dead(context)
    return total


def settle_the_dead(context: IngestContext) -> None:
    """Count what workers spent that have ended, from their records: all of these are in the ledger now."""
    for name in dead_workers(context.segments_dir):
        lost = any((context.segments_dir / CORRUPT).glob(f"*-{name}.seg"))
        settle_dead(context.ledger, name, complete=not lost)
        forget(context.segments_dir, name)


def ingest_pass(context: IngestContext, filing: LedgerWriter) -> Progress:
    """One batch of each segment into the ledger, in one transaction; then finished segments are deleted."""
    progress = Progress()
    with contextlib.ExitStack() as stack:
        segments = _open_all(context)
        for segment in segments:
            stack.callback(segment.reader.close)
            _read_batch(segment)
        pending = [segment for segment in segments if segment.entries or segment.damaged]
        if pending:
            with context.ledger.begin() as connection:
                added, writers = _file(connection, context, filing, segments)
                _book(connection, context, added, segments, writers)
                for segment in pending:
                    _move_offset(context, connection, segment)
                    if segment.damaged:
                        _report_damage(context, connection, segment)
            progress.entries = sum(len(segment.entries) for segment in pending)
            progress.more = any(segment.more for segment in segments)
        for segment in segments:
            progress.damaged += segment.damaged
            _finish(context, segment, progress)
    return progress


def _file(
    connection: Connection, context: IngestContext, filing: LedgerWriter, segments: list[Segment]
) -> tuple[list[RequestRecord], dict[str, str]]:
    """File the batches. A feedback whose request is still behind in the backlog waits, unless nothing else moves.

    Returns the requests that the ledger did not have, and the workers of those that stand behind the batches.
    """
    writers: dict[str, str] = {}
    entries = [entry for segment in segments for entry, _ in segment.entries]
    filed = filing.file(connection, entries)
    added, orphans = filed.added, filed.orphans
    if orphans and any(segment.more for segment in segments):
        names = {orphan.feedback.id for orphan in orphans}
        for segment in segments:
            segment.cut_before(names)
        if any(segment.offset > segment.begin for segment in segments):
            return added, writers
        for segment in segments:
            segment.offset = segment.end_of_batch
    if orphans:
        behind = _requests_behind(context, segments, writers)
        added += filing.file(connection, [*behind, *orphans], keep_orphans=True).added
    return added, writers


def _book(
    connection: Connection,
    context: IngestContext,
    added: list[RequestRecord],
    segments: list[Segment],
    writers: dict[str, str],
) -> None:
    """Add what the new records cost to what their workers are known to have spent."""
    for segment in segments:
        name = worker_of(segment.path)
        writers.update((entry.record.id, name) for entry, _ in segment.entries if isinstance(entry, RequestEntry))
    spend = recorded_spend((writers[record.id], record) for record in added)
    book_recorded(connection, context.project, spend)


def _open_all(context: IngestContext) -> list[Segment]:
    found = []
    with context.ledger.read() as connection:
        rows = connection.execute(select(tables.segments).where(tables.segments.c.project == context.project))
        offsets = {row.id: row.offset for row in rows}
    names = sorted(context.segments_dir.glob("*.seg")) if context.segments_dir.is_dir() else []
    for path in names:
        try:
            reader = SegmentReader(path, seal_key=context.project_key.seal_key)
        except FileNotFoundError:
            continue
        except NewerSegment as error:
            _report_newer(context, path, str(error))
            continue
        except TornHeader:
            _delete_if_abandoned(path)  # its writer died before the first frame: nothing was acknowledged
            continue
        except CorruptionError as error:
            _set_aside(context, path, str(error))
            continue
        begin = offsets.get(path.name, reader.start)
        found.append(Segment(path=path, reader=reader, begin=begin, offset=begin, end_of_batch=begin))
    return found


def _read_batch(segment: Segment) -> None:
    for frame in segment.reader.frames(segment.offset):
        if frame.end < 0:
            segment.damaged += not segment.marker.exists()
            segment.lost = True
            return
        entry = _decoded(frame.plain)
        if entry is None:
            segment.damaged += 1
        else:
            segment.entries.append((entry, segment.offset))
        segment.offset = segment.end_of_batch = frame.end
        if len(segment.entries) >= BATCH:
            segment.more = True
            return


def _decoded(plain: bytes | None) -> Entry | None:
    if plain is None:
        return None
    try:
        return decode(plain)
    except (msgspec.MsgspecError, RecursionError) as error:
        log.error("an entry of a segment is not readable: %s", error)
        return None


def _requests_behind(
    context: IngestContext, segments: list[Segment], writers: dict[str, str]
) -> Iterator[RequestEntry]:
    """Requests written since the batches were read: for a feedback that was read before the request it speaks of."""
    known = {segment.path for segment in segments}
    newer = [segment for segment in _open_all(context) if segment.path not in known]
    with contextlib.ExitStack() as stack:
        for segment in newer:
            stack.callback(segment.reader.close)
        for entry, worker in _requests_in((*segments, *newer)):
            writers[entry.record.id] = worker
            yield entry


def _requests_in(segments: Iterable[Segment]) -> Iterator[tuple[RequestEntry, str]]:
    for segment in segments:
        if not segment.lost:
            for frame in segment.reader.frames(segment.offset):
                entry = _decoded(frame.plain) if frame.end >= 0 else None
                if isinstance(entry, RequestEntry):
                    yield entry, worker_of(segment.path)


def _move_offset(context: IngestContext, connection: Connection, segment: Segment) -> None:
    row = {"id": segment.path.name, "project": context.project, "offset": segment.offset}
    if not insert_new(connection, tables.segments, row):
        column = tables.segments.c
        connection.execute(
            update(tables.segments).where(column.id == segment.path.name).values({"offset": segment.offset})
        )


def _finish(context: IngestContext, segment: Segment, progress: Progress) -> None:
    """Delete a segment that holds nothing more, once its writer has let go of it."""
    if segment.more:
        return
    with contextlib.suppress(FileNotFoundError), segment.path.open("rb") as file:  # an erasure takes in and deletes too
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        size = os.fstat(file.fileno()).st_size
        if not segment.lost and next(segment.reader.frames(segment.offset), None) is not None:
            return  # its last frames came after the batch was read
        if size > segment.offset and not segment.lost:
            log.warning("%s ends in %d bytes of a torn frame", segment.path.name, size - segment.offset)
            progress.torn_bytes += size - segment.offset
        segment.path.with_suffix(".newer").unlink(missing_ok=True)
        if segment.damaged or segment.marker.exists():
            _keep(context, segment.path)
        else:
            segment.path.unlink()  # before its row: the other way round a crash between would take it in again
        with context.ledger.begin() as connection:
            connection.execute(delete(tables.segments).where(tables.segments.c.id == segment.path.name))
        progress.deleted += 1


def _report_damage(context: IngestContext, connection: Connection, segment: Segment) -> None:
    if segment.marker.exists():
        return
    segment.marker.touch()
    log.error("%d frames of %s are damaged", segment.damaged, segment.path.name)
    context.ledger.append(
        _finding(context, segment.path.name, segment.damaged, "frames of it could not be read"), connection=connection
    )


def _report_newer(context: IngestContext, path: Path, reason: str) -> None:
    """Say once that a segment waits for an upgrade; it stays as it is."""
    marker = path.with_suffix(".newer")
    if marker.exists():
        return
    marker.touch()
    log.error("%s waits: %s", path.name, reason)
    text = f"{reason}; upgrade the ingester, which then takes it in"
    context.ledger.append(_finding(context, path.name, 1, reason, measure="newer_segment", explanation=text))


def _set_aside(context: IngestContext, path: Path, reason: str) -> None:
    log.error("%s is set aside: %s", path.name, reason)
    _keep(context, path)
    context.ledger.append(_finding(context, path.name, 1, reason))


def _keep(context: IngestContext, path: Path) -> None:
    aside = path.parent / CORRUPT
    aside.mkdir(exist_ok=True)
    path.replace(aside / path.name)
    path.with_suffix(".damaged").unlink(missing_ok=True)
    _bound(context, aside)


def _bound(context: IngestContext, aside: Path) -> None:
    """Drop the oldest damaged segments beyond a quarter of recording.max_disk_mb; a Finding names each."""
    kept = sorted(aside.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    left = context.recording.max_disk_mb * 1_048_576 // 4
    for path in kept:
        left -= path.stat().st_size
        if left < 0:
            bound = f"segments/{CORRUPT} may take a quarter of recording.max_disk_mb"
            text = f"the damaged segment {path.name} was deleted: {bound}"
            log.error(text)
            context.ledger.append(
                _finding(context, path.name, 1, "no room for it", measure="dropped_segment", explanation=text)
            )
            forget(context.segments_dir, worker_of(path))  # nobody can tell any more what that one spent
            path.unlink()


def _finding(
    context: IngestContext,
    name: str,
    count: int,
    reason: str,
    *,
    measure: str = "damaged_segment",
    explanation: str = "",
) -> Finding:
    return Finding(
        id=uuid7(),
        project=context.project,
        kind="recording",
        severity="critical",
        route="",
        release=None,
        measure=measure,
        value=float(count),
        reference=0.0,
        evidence={"segment": name, "reason": reason},
        first_seq=0,
        last_seq=0,
        examples=(),
        explanation=explanation or f"the segment {name} is damaged ({reason}); it is kept in segments/{CORRUPT}",
    )


def _delete_if_abandoned(path: Path) -> None:
    with contextlib.suppress(OSError), path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - path.stat().st_mtime > 5:  # not one that is just being made
            path.unlink()


@contextmanager
def _only_one(folder: Path, stop: Callable[[], bool]) -> Iterator[None]:
    with (folder / ".ingester.lock").open("w") as file:
        while not stop():
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(POLL_S)
        yield
