"""Ask each case once, several at a time, and survive being killed. I/O: calls a completer, appends to a file.

Every answer is appended before it counts, so a run that was killed goes on where it stopped and asks nothing twice. A
request that fails is an answer too: it is kept with its reason and counted as a failure, never dropped. When nothing
has come back for `GIVE_UP_AFTER` requests in a row, the rest is not asked but counted as failed, so that a dead or
stalling engine costs minutes, not hours.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from flyball.errors import FlyballError
from flyball.telemetry import Progress

GIVE_UP_AFTER = 25


class Completed(Protocol):
    """What a completer gives back (`inference.completers.Completion`)."""

    @property
    def text(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def finish_reason(self) -> str: ...


class Completer(Protocol):
    """Whatever answers a chat body: over HTTP, or inside this process. Must be safe to call from several threads."""

    def complete(self, body: dict[str, Any], /) -> Completed: ...


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer, or why there is none, with its time as the asker saw it."""

    key: str
    total_ms: float
    text: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = ""
    error: str | None = None

    @property
    def cut(self) -> bool:
        """Whether the engine says that it ran out of tokens."""
        return self.finish_reason == "length"

    @property
    def lies(self) -> bool:
        """Whether the token counts cannot be true: negative, none for a text, or far more than its characters."""
        if self.error or self.prompt_tokens == self.completion_tokens == 0:
            return False  # nothing claimed
        most = 4 * len(self.text.encode("utf-8", "replace")) + 64
        return self.prompt_tokens < 0 or not bool(self.text) <= self.completion_tokens <= most


@dataclass(frozen=True, slots=True)
class Partial:
    """The file of answers so far; its first line says for which plan (release, suites, engine) they were asked."""

    path: Path
    plan: str

    def load(self) -> dict[str, Answer]:
        """Answers of an earlier run of the same plan; a torn last line is left out, another plan's file removed."""
        if not self.path.is_file():
            return {}
        head, *lines = self.path.read_bytes().split(b"\n")
        if head != self.plan.encode():
            self.path.unlink()
            return {}
        answers = {}
        for line in lines[:-1]:  # what stands after the last newline was being written when the run was killed
            try:
                answer = msgspec.json.decode(line, type=Answer)
            except msgspec.MsgspecError:
                break
            answers[answer.key] = answer
        self.rewrite(answers)
        return answers

    def rewrite(self, answers: Mapping[str, Answer]) -> None:
        """The file anew with whole lines only."""
        temporary = self.path.with_suffix(".new")
        body = b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers.values())
        temporary.write_bytes(self.plan.encode() + b"\n" + body)
        temporary.replace(self.path)


def ask_all(
    bodies: Mapping[str, dict[str, Any]],
    completer: Completer,
    *,
    concurrency: int,
    partial: Partial,
    progress: Progress,
) -> dict[str, Answer]:
    """An answer for every key in `bodies`."""
    answers = {key: answer for key, answer in partial.load().items() if key in bodies}
    if not partial.path.exists():
        partial.rewrite({})
    waiting = {key: body for key, body in bodies.items() if key not in answers}
    with partial.path.open("ab", buffering=0) as file:
        for answer in ask_concurrently(waiting, completer, min(concurrency, max(1, len(waiting)))):
            file.write(msgspec.json.encode(answer) + b"\n")
            answers[answer.key] = answer
            progress("asking", len(answers), len(bodies))
    return answers


def ask_concurrently(waiting: Mapping[str, dict[str, Any]], completer: Completer, concurrency: int) -> Iterator[Answer]:
    """Answers as they come, in any order."""
    asked: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
    for entry in waiting.items():
        asked.put(entry)
    done: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    stop = threading.Event()
    room = threading.Semaphore(2 * concurrency)  # nobody asks far ahead of what was looked at: giving up is prompt
    for _ in range(concurrency):
        threading.Thread(target=_work, args=(asked, done, completer, stop, room), daemon=True).start()
    failures_in_a_row = 0
    last_error = ""
    try:
        for _ in range(len(waiting)):
            answer = done.get()
            room.release()
            failures_in_a_row = failures_in_a_row + 1 if answer.error else 0
            if answer.error and not stop.is_set():
                last_error = answer.error
            yield answer
            if failures_in_a_row >= GIVE_UP_AFTER and not stop.is_set():
                stop.set()
                _refuse_rest(asked, done, f"not asked: {failures_in_a_row} requests in a row had failed: {last_error}")
    finally:
        stop.set()  # on an interrupt: threads finish what they have in hand and take no more
        room.release(concurrency)


def _work(
    asked: queue.SimpleQueue[tuple[str, dict[str, Any]]],
    done: queue.SimpleQueue[Answer],
    completer: Completer,
    stop: threading.Event,
    room: threading.Semaphore,
) -> None:
    while room.acquire() and not stop.is_set():
        try:
            key, body = asked.get_nowait()
        except queue.Empty:
            return
        done.put(ask(key, body, completer))


def _refuse_rest(
    asked: queue.SimpleQueue[tuple[str, dict[str, Any]]], done: queue.SimpleQueue[Answer], error: str
) -> None:
    while True:
        try:
            key, _ = asked.get_nowait()
        except queue.Empty:
            return
        done.put(Answer(key=key, total_ms=0.0, error=error))


def ask(key: str, body: dict[str, Any], completer: Completer) -> Answer:
    """One answer; whatever goes wrong is its `error`."""
    began = time.perf_counter()
    try:
        completion = completer.complete(body)
    except FlyballError as error:
        return Answer(key=key, total_ms=_since(began), error=error.message)
    except Exception as error:  # noqa: BLE001 - the edge of one request: a strange answer must not end the run
        return Answer(key=key, total_ms=_since(began), error=f"{type(error).__name__}: {error}")
    return Answer(
        key=key,
        total_ms=_since(began),
        text=completion.text,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        finish_reason=completion.finish_reason,
    )


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000.0, 2)
