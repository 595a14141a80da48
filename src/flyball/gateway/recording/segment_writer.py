"""The segment writer: every answer is on disk, sealed, before its last byte is sent. I/O: appends to segment files.

`append` writes at once (it survives kill -9 of this process), `append_all` several entries with one write; one thread
makes them durable with fdatasync within 100 ms, many at a time (group commit). A writer holds a lock on its open
segment, by which the ingester knows whether it still lives. Segments rotate by size and age; when those on disk reach
their bound, or the disk is full, `append` says so.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from flyball.errors import EnvironmentMissing
from flyball.gateway.recording.segment_format import Entry, SealedWriter, encode
from flyball.records.identity import uuid7
from flyball.telemetry import log

SYNC_INTERVAL_S: Final = 0.08
"""A group is gathered for so long."""
QUIET_LOOKS: Final = 10
"""After so many intervals without an entry the thread sleeps until one comes."""
RETRY_S: Final = 1.0
MEASURE_EVERY_BYTES: Final = 1_048_576


class RecordingFailed(EnvironmentMissing):
    """A record could not be written: the disk is full, not writable, or the bound on segments is reached."""

    code = "recording_failed"


class SegmentWriter:
    """Appends entries of one worker to segments in `folder`, whose bound all `writers` share.

    Together they pass `max_disk_bytes` by at most an eighth of it, because each measures the folder now and then.
    """

    def __init__(
        self,
        folder: Path,
        *,
        worker: int | str,
        project: str,
        seal_key: bytes,
        writers: int = 1,
        max_disk_bytes: int = 512 * 1024 * 1024,
        rotate_bytes: int = 16 * 1024 * 1024,
        rotate_s: float = 10.0,
    ) -> None:
        self.folder, self.worker, self.project = folder, worker, project
        self._seal_key = seal_key
        self._max_disk = max_disk_bytes
        self._measure_every = min(MEASURE_EVERY_BYTES, max(max_disk_bytes // (8 * writers), 1))
        self._rotate_bytes, self._rotate_s = min(rotate_bytes, max(max_disk_bytes // (4 * writers), 4096)), rotate_s
        self._segment: SealedWriter | None = None
        self._fd = -1
        self._size = 0
        self._opened = 0.0
        self._rotations = 0
        self._unmeasured = self._measure_every
        self._on_disk = 0
        self.failed_at = 0.0
        self.failure = ""
        self.written = 0
        self._sync = _Syncer(folder)

    def append(self, entry: Entry) -> int:
        """Write one entry; its number, for `durable`. RecordingFailed when that is impossible."""
        return self.append_all([encode(entry)])

    def append_all(self, entries: list[bytes]) -> int:
        """Write encoded entries with one write; the number of the last. RecordingFailed: none of them can be."""
        try:
            if self._segment is None or self._sync.broken or self._due(sum(map(len, entries))):
                self._rotate()
            assert self._segment is not None
            frames = [self._segment.frame(entry) for entry in entries]
            self._write(frames[0] if len(frames) == 1 else b"".join(frames))
        except (OSError, RecordingFailed) as error:
            self._abandon(error)
            raise RecordingFailed(
                f"recording failed: {self.failure}", cure="free disk space, or start the ingester that empties segments"
            ) from error
        self.failed_at = 0.0
        self.written += len(entries)
        self._sync.dirty(self._fd, self.written)
        return self.written

    def durable(self, number: int, then: Callable[[bool], None]) -> None:
        """Call `then(True)`, from the writing thread, once entry `number` is on disk; `then(False)` if it cannot be."""
        self._sync.wait(number, then)

    @property
    def failing(self) -> bool:
        """Whether the last append failed a moment ago."""
        return self.failed_at > 0 and time.monotonic() - self.failed_at < RETRY_S

    def tick(self) -> None:
        """Close a segment that is old enough, so that the ingester can delete it; called about once a second."""
        if self._segment is not None and time.monotonic() - self._opened > self._rotate_s:
            self._close_segment()

    def close(self) -> None:
        """Make all durable and stop the thread."""
        self._close_segment()
        self._sync.stop()

    def _due(self, size: int) -> bool:
        return self._size + size > self._rotate_bytes or time.monotonic() - self._opened > self._rotate_s

    def _write(self, frame: bytes) -> None:
        self._unmeasured += len(frame)
        if self._unmeasured >= self._measure_every or self._on_disk + self._unmeasured > self._max_disk:
            self._on_disk, self._unmeasured = _disk_bytes(self.folder), len(frame)
        if self._on_disk + self._unmeasured > self._max_disk:
            raise RecordingFailed(f"{self._on_disk} bytes of segments wait for the ingester (recording.max_disk_mb)")
        if os.write(self._fd, frame) != len(frame):
            raise OSError(28, "no space left on device")
        self._size += len(frame)

    def _rotate(self) -> None:
        self._close_segment()
        self._sync.broken = False
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rotations += 1  # in the name after its milliseconds, so that segments of one worker sort as written
        random = (self._rotations & 0xFFF) << 62 | int.from_bytes(os.urandom(7), "big")
        identifier = f"{uuid7(random=random)}-{self.worker}.seg"
        segment = SealedWriter(
            identifier=identifier,
            project=self.project,
            created_ms=time.time_ns() // 1_000_000,
            seal_key=self._seal_key,
        )
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self.folder / identifier, flags, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        self._segment, self._size, self._opened = segment, 0, time.monotonic()
        self._write(segment.header)

    def _abandon(self, error: Exception) -> None:
        """Leave a segment whose last write failed: what stands before the torn frame stays good."""
        if not self.failing:
            log.error("recording failed: %s", error)
        self.failed_at, self.failure = time.monotonic(), str(error)
        with contextlib.suppress(OSError):
            if self._fd >= 0:
                os.ftruncate(self._fd, self._size)
        self._close_segment()

    def _close_segment(self) -> None:
        if self._fd >= 0:
            self._sync.retire(self._fd)
        self._segment, self._fd = None, -1


class _Syncer:
    """The thread that makes appended entries durable, in groups.

    Each time that it wakes it takes Python's lock from the thread that answers, so it wakes once for each group: a bell
    (a lock that a thread in a hurry releases) in place of a condition. What both threads touch is one value or a
    deque, which either sees whole.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bell = threading.Lock()
        self._bell.acquire()
        self._head = (-1, 0)  # the open file and the last entry's number: one value, so that both are seen together
        self._synced = 0
        self.broken = False
        self._retired: deque[int] = deque()
        self._waiting: deque[tuple[int, Callable[[bool], None]]] = deque()
        self._stopping = False
        self._asleep = False
        self._known = -1
        self._syncing = threading.Thread(target=self._run, name="flyball-sync", daemon=True)
        self._syncing.start()

    def dirty(self, fd: int, written: int) -> None:
        """Entries up to `written` are in the files, the last of them in `fd`."""
        self._head = (fd, written)
        if self._asleep:  # set before the thread looks at _head for the last time, so that no entry is missed
            self._ring()

    def wait(self, number: int, then: Callable[[bool], None]) -> None:
        """Ask to be told; makes the thread hurry."""
        self._waiting.append((number, then))
        self._ring()

    def retire(self, fd: int) -> None:
        """No more will be appended to `fd`: make it durable and close it."""
        self._retired.append(fd)  # before the head changes: see `_run`
        self._head = (-1, self._head[1])
        self._ring()

    def stop(self) -> None:
        """Finish all that is waiting."""
        self._stopping = True
        self._ring()
        self._syncing.join(timeout=10)

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it rings already
            self._bell.release()

    def _run(self) -> None:
        quiet = 0
        while True:
            if not (self._waiting or self._retired or self._stopping):
                self._bell.acquire(timeout=SYNC_INTERVAL_S)
            stopping = self._stopping
            fd, written = self._head  # first: a file that is not the head any more is among the retired ones
            retired = [self._retired.popleft() for _ in range(len(self._retired))]
            told = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if retired or told or written > self._synced:
                quiet = 0
                good = self._make_durable(retired, fd)
                self.broken = self.broken or not good
                self._synced = written
                for number, then in told:
                    if number <= written:
                        then(good)
                    else:
                        self._waiting.append((number, then))
            elif stopping:
                return
            elif (quiet := quiet + 1) > QUIET_LOOKS:
                self._doze()

    def _doze(self) -> None:
        """Nothing has come for a while: sleep until something does."""
        self._asleep = True
        if self._head[1] <= self._synced and not (self._retired or self._waiting or self._stopping):
            self._bell.acquire()
        self._asleep = False

    def _make_durable(self, retired: list[int], fd: int) -> bool:
        good = True
        for descriptor in (*retired, fd):
            if descriptor < 0:
                continue
            try:
                os.fdatasync(descriptor)
                self._sync_folder(descriptor)
            except OSError as error:
                log.error("fdatasync of a segment failed: %s", error)
                good = False
        for descriptor in retired:
            os.close(descriptor)
            self._known = -1  # the number may come back as another file's
        return good

    def _sync_folder(self, fd: int) -> None:
        """A new file's name must survive a power cut too."""
        if fd != self._known:
            folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._known = fd


def _disk_bytes(folder: Path) -> int:
    """Of the segments in a folder; what was set aside as corrupt has a bound of its own."""
    total = 0
    for entry in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError):  # the ingester has just deleted it
            total += entry.stat().st_size if entry.is_file() else 0
    return total
