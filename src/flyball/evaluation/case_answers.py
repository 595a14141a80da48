"""Ask each case once, several at a time, and survive being killed. I/O: calls a completer, appends to a file.

Every answer is appended before it counts, so a run that was killed goes on where it stopped and asks nothing twice. A
request that fails is an answer too: it is kept with its reason and counted as an error, never dropped. A server that
refuses one request (400, 413, 422) lives, and the next is asked; one that has too much to do (429) is asked again a
little later. When `GIVE_UP_AFTER` requests in a row have failed otherwise, and a question that was answered before
fails now too, the rest is not asked but counted as an error: a dead or stalling engine costs minutes, not hours.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from flyball.errors import FlyballError, InputError, UpstreamError
from flyball.telemetry import Progress
from flyball.whole_files import replace_file

GIVE_UP_AFTER = 25
REFUSALS = (400, 413, 422)
"""Statuses by which a server says that something is wrong with this one request."""
BUSY = 429
WAITS_S = (0.5, 1.0, 2.0, 4.0)
"""Before a server that is busy is asked again."""
Fault = Literal["", "refused", "failed", "not asked"]
"""Why there is no answer: the server refused this request; it failed; it was given up on before."""


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
    """One answer, or why there is none, with its time as the asker saw it.

    `log_probability`: of its text in nats, by the engine; where it is None, `unknown` says why.
    """

    key: str
    total_ms: float
    text: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = ""
    error: str | None = None
    fault: Fault = ""
    log_probability: float | None = None
    unknown: str = ""

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
        """Write the file again with whole lines only."""
        body = b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers.values())
        replace_file(self.path, self.plan.encode() + b"\n" + body, durable=False)


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
    good: str | None = None
    try:
        for _ in range(len(waiting)):
            answer = done.get()
            room.release()
            failures_in_a_row = failures_in_a_row + 1 if answer.fault == "failed" else 0
            if answer.error and not stop.is_set():
                last_error = answer.error
            elif not answer.error:
                good = answer.key
            yield answer
            if failures_in_a_row >= GIVE_UP_AFTER and not stop.is_set():
                if good is not None and not ask(good, waiting[good], completer).error:
                    failures_in_a_row = 0  # it lives: what fails are these cases
                    continue
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
        done.put(Answer(key=key, total_ms=0.0, error=error, fault="not asked"))


def ask(key: str, body: dict[str, Any], completer: Completer) -> Answer:
    """One answer; whatever goes wrong is its `error`."""
    began = time.perf_counter()
    try:
        began, completion = _patiently(body, completer)
    except FlyballError as error:
        refused = isinstance(error, InputError) or (isinstance(error, UpstreamError) and error.status in REFUSALS)
        fault: Fault = "refused" if refused else "failed"
        return Answer(key=key, total_ms=_since(began), error=error.message, fault=fault)
    except Exception as error:  # noqa: BLE001 - the edge of one request: a strange answer must not end the run
        return Answer(key=key, total_ms=_since(began), error=f"{type(error).__name__}: {error}", fault="failed")
    return Answer(
        key=key,
        total_ms=_since(began),
        text=completion.text,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        finish_reason=completion.finish_reason,
        log_probability=getattr(completion, "log_probability", None),  # not every completer can tell
        unknown=getattr(completion, "unknown", ""),
    )


def _patiently(body: dict[str, Any], completer: Completer) -> tuple[float, Completed]:
    """When the request began that was answered, and its answer."""
    for wait_s in (*WAITS_S, None):
        began = time.perf_counter()
        try:
            return began, completer.complete(body)
        except UpstreamError as error:
            if error.status != BUSY or wait_s is None:
                raise
            time.sleep(wait_s)
    raise AssertionError("unreachable")


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000.0, 2)
