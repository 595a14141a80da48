"""Long texts are prepared beside the worker, so that one client's text keeps no other waiting. I/O: processes, pipes.

A process is started when the first long text comes, ends after a minute without one, and is replaced when it dies: the
text that it had in hand is tried once more. Where none can be started, a text that takes moments is prepared by the
worker itself, and a larger one is refused with 503 that says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.records import Release
from flyball.telemetry import log

PROCESSES: Final = 2
MOST_WAITING: Final = 64
IDLE_S = 60.0
LONGEST_S = 20.0
"""One text; then the process is ended and the request refused."""
START_S = 20.0
END_S: Final = 2.0
BROKEN_S: Final = 5.0
"""After a process could not be started none is tried for so long."""
MOST_RELEASES: Final = 16
FRAME: Final = struct.Struct(">I")
READY: Final = b"ready"


class Job(msgspec.Struct, array_like=True, gc=False):
    """One request to prepare; the release comes with it where the process does not know it yet."""

    release_name: str
    release: bytes | None
    kind: str
    raw: bytes
    count: bool


class Done(msgspec.Struct, array_like=True, gc=False):
    """The engine's body and the names of ignored fields; or, with a status, a refusal."""

    payload: bytes = b""
    ignored: bytes = b""
    status: int = 0
    message: str = ""
    code: str = ""
    param: str | None = None


class HelperAway(Exception):
    """No process could be started, or it went away twice."""


@dataclass(slots=True, eq=False)
class _Waiting:
    name: str
    release: Release
    kind: str
    raw: bytes
    count: bool
    told: asyncio.Future[Done]
    tries: int = 0


@dataclass(slots=True, eq=False)
class _Helper:
    """One process and the releases that it knows."""

    process: asyncio.subprocess.Process
    known: set[str] = field(default_factory=set)

    async def answer(self, job: _Waiting) -> Done:
        assert self.process.stdin is not None and self.process.stdout is not None
        release = None
        if job.name not in self.known:
            release = msgspec.json.encode(job.release)
            if len(self.known) >= MOST_RELEASES:
                self.known.clear()  # as the process does
        frame = _ENCODER.encode(Job(job.name, release, job.kind, job.raw, job.count))
        self.process.stdin.write(FRAME.pack(len(frame)) + frame)
        await self.process.stdin.drain()
        self.known.add(job.name)
        (size,) = FRAME.unpack(await self.process.stdout.readexactly(FRAME.size))
        return _DECODER.decode(await self.process.stdout.readexactly(size))

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Done)


class LongTexts:
    """The processes of one worker and what waits for them."""

    def __init__(self, command: tuple[str, ...] | None = None) -> None:
        self._command = command or (sys.executable, "-m", "flyball.gateway.long_texts_process", str(os.getpid()))
        self._waiting: deque[_Waiting] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._helpers: set[_Helper] = set()
        self._idle = 0
        self._broken = ("", 0.0)  # why no process could be started, and until when none is tried
        self._news = asyncio.Event()

    def prepare(self, name: str, release: Release, kind: str, raw: bytes, *, count: bool) -> asyncio.Future[Done]:
        """What becomes of a request; HelperAway where no process can say. The caller may cancel it."""
        told: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= MOST_WAITING:
            retry = (("retry-after", "1"),)
            told.set_exception(HttpRefusal(503, "too many long texts wait", code="overloaded", headers=retry))
            return told
        self._waiting.append(_Waiting(name, release, kind, raw, count, told))
        self._news.set()
        if len(self._waiting) > self._idle and len(self._tasks) < PROCESSES:
            task = asyncio.get_running_loop().create_task(self._work())
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        return told

    @property
    def pids(self) -> list[int]:
        """Of the processes that run now."""
        return [helper.process.pid for helper in self._helpers]

    async def close(self) -> None:
        """End the processes; who still waits is told."""
        helpers = list(self._helpers)
        for task in self._tasks:
            task.cancel()
        for helper in helpers:
            helper.end()
        self._fail_waiting("the gateway is stopping")
        for helper in helpers:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(helper.process.wait(), END_S)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            log.error("long texts are not prepared", exc_info=bug)
        if not self._tasks:
            self._fail_waiting("the process that prepares long texts ended")

    def _fail_waiting(self, why: str) -> None:
        while self._waiting:
            _fail(self._waiting.popleft(), HelperAway(why))

    async def _work(self) -> None:
        """Prepare what waits, one after the other, until nothing comes for a minute or no process can be had."""
        helper: _Helper | None = None
        try:
            while (job := await self._next()) is not None:
                if job.told.done():
                    continue
                try:
                    if helper is None:
                        helper = await self._started()
                    done = await asyncio.wait_for(helper.answer(job), LONGEST_S)
                except (OSError, EOFError, TimeoutError, HelperAway) as error:
                    self._forget(helper)
                    helper = None
                    self._again(job, error)
                except Exception:
                    _fail(job, HelperAway("it answers in an unexpected form"))  # nobody waits for what will not come
                    raise
                else:
                    if not job.told.done():
                        job.told.set_result(done)
        finally:
            self._forget(helper)

    async def _next(self) -> _Waiting | None:
        while not self._waiting:
            self._news.clear()
            self._idle += 1
            try:
                await asyncio.wait_for(self._news.wait(), IDLE_S)
            except TimeoutError:
                return None
            finally:
                self._idle -= 1
        return self._waiting.popleft()

    async def _started(self) -> _Helper:
        why, until = self._broken
        if time.monotonic() < until:
            raise HelperAway(why)
        try:
            return await self._begun()
        except (OSError, HelperAway) as error:
            self._broken = (str(error), time.monotonic() + BROKEN_S)
            log.error("the process that prepares long texts cannot be started: %s", error)
            raise HelperAway(str(error)) from error

    async def _begun(self) -> _Helper:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        helper = _Helper(process)
        self._helpers.add(helper)
        assert process.stdout is not None
        try:
            said = await asyncio.wait_for(process.stdout.readexactly(len(READY)), START_S)
        except (EOFError, TimeoutError) as error:
            self._forget(helper)
            raise HelperAway("it ended at its start, or said nothing") from error
        if said != READY:
            self._forget(helper)
            raise HelperAway("it answers in an unexpected form")
        return helper

    def _forget(self, helper: _Helper | None) -> None:
        if helper is not None:
            helper.end()
            self._helpers.discard(helper)

    def _again(self, job: _Waiting, error: BaseException) -> None:
        """Once more after a process died; not after one that could not be started, or that took too long."""
        died = isinstance(error, EOFError | ConnectionError)
        job.tries += 1
        if died and job.tries == 1:
            self._waiting.appendleft(job)
            self._news.set()
            return
        if isinstance(error, TimeoutError):
            _fail(job, HelperAway(f"it took longer than {LONGEST_S:g} s"))
        else:
            _fail(job, HelperAway("it died" if died else str(error)))


def _fail(job: _Waiting, error: Exception) -> None:
    if not job.told.done():
        job.told.set_exception(error)
