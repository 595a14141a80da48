"""Runs the coroutine of one request without a task: it goes on the moment that what it waits for happens.

An asyncio task costs a turn of the event loop for its first step and one for each time that it wakes, which is much of
what a gateway does for a request. A Course takes its first step at once and is resumed by what finishes a Call,
inside that call's own callback. What it awaits is a Call or a Future; nothing in it may ask for the current task, so
that asyncio.timeout belongs into a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

Ended = Callable[["RequestCoroutine", BaseException | None], None]


class RequestCoroutine:
    """One running coroutine; `ended` is told of its end and of an exception that it did not catch."""

    __slots__ = ("_cancelled", "_coroutine", "_ended", "_running", "_steps", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, None], ended: Ended) -> None:
        self._coroutine = coroutine
        self._steps: Iterator[Any] = coroutine.__await__()
        self._ended = ended
        self._waits_for: Any = None
        self._running = False
        self._cancelled = False

    def start(self) -> None:
        """Run to the first wait, or to the end."""
        self._advance(None)

    def cancel(self) -> None:
        """Raise CancelledError where the coroutine waits, at once; it may still say goodbye."""
        if self._running:
            self._cancelled = True  # by something that it did itself: at its next wait
            return
        waited, self._waits_for = self._waits_for, None
        if waited is not None:
            waited.remove_done_callback(self._resume)
            waited.cancel()
            self._advance(asyncio.CancelledError())

    def _resume(self, waited: object) -> None:
        if waited is self._waits_for:  # else it was cancelled meanwhile
            self._waits_for = None
            self._advance(None)

    def _advance(self, error: BaseException | None) -> None:
        self._running = True
        try:
            # next() ends without an exception, which would cost as much as all else here
            waited = next(self._steps, None) if error is None else self._coroutine.throw(error)
            while self._cancelled and waited is not None:
                self._cancelled = False
                waited = self._coroutine.throw(asyncio.CancelledError())
        except (StopIteration, asyncio.CancelledError):
            waited = None
        except Exception as bug:  # noqa: BLE001 - the edge of a request, as a task is
            self._ended(self, bug)
            return
        if waited is None:
            self._ended(self, None)
        else:
            self._running = False
            self._waits_for = waited
            waited.add_done_callback(self._resume)
