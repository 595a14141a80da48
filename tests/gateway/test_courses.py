"""A course runs a request's coroutine without a task: resumed at once, cancelled at once, never twice."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from flyball.gateway.http.coroutines import RequestCoroutine


class Bell:
    """What a course may wait for, rung by hand."""

    def __init__(self) -> None:
        self.callback: Any = None
        self.cancelled = False

    def __await__(self) -> Any:
        yield self

    def add_done_callback(self, callback: Any) -> None:
        self.callback = callback

    def remove_done_callback(self, _callback: Any) -> None:
        self.callback = None

    def cancel(self) -> None:
        self.cancelled = True

    def ring(self) -> None:
        callback, self.callback = self.callback, None
        callback(self)


def started(coroutine: Coroutine[Any, Any, None]) -> tuple[RequestCoroutine, list[BaseException | None]]:
    ends: list[BaseException | None] = []
    course = RequestCoroutine(coroutine, lambda _course, bug: ends.append(bug))
    course.start()
    return course, ends


def test_a_course_goes_on_inside_the_call_that_wakes_it() -> None:
    bell, steps = Bell(), []

    async def walk() -> None:
        steps.append("began")
        await bell
        steps.append("woken")

    _, ends = started(walk())
    assert (steps, ends) == (["began"], [])
    bell.ring()
    assert (steps, ends) == (["began", "woken"], [None])


def test_cancelling_raises_where_it_waits_and_lets_it_say_goodbye() -> None:
    bell, last, steps = Bell(), Bell(), []

    async def walk() -> None:
        try:
            await bell
        except asyncio.CancelledError:
            steps.append("cancelled")
            await last
            steps.append("goodbye")

    course, ends = started(walk())
    course.cancel()
    assert (steps, bell.cancelled, ends) == (["cancelled"], True, [])
    last.ring()
    assert (steps, ends) == (["cancelled", "goodbye"], [None])


def test_who_cancels_itself_is_cancelled_at_its_next_wait() -> None:
    bell, steps, courses = Bell(), [], []

    async def walk() -> None:
        await bell
        courses[0].cancel()
        steps.append("still running")
        await bell
        steps.append("never")

    course, ends = started(walk())
    courses.append(course)
    bell.ring()
    assert (steps, ends) == (["still running"], [None])


def test_a_bug_is_told_and_goes_no_further() -> None:
    async def walk() -> None:
        raise ValueError("a bug")

    _, ends = started(walk())
    assert isinstance(ends[0], ValueError)


def test_futures_sleeps_and_tasks_are_waited_for_as_in_a_task() -> None:
    async def main() -> list[str]:
        steps: list[str] = []
        over = asyncio.Event()

        async def walk() -> None:
            steps.append(await asyncio.get_running_loop().create_task(asyncio.sleep(0.001, "task")))
            await asyncio.sleep(0.001)
            future = asyncio.get_running_loop().create_future()
            future.set_exception(OSError("gone"))
            with pytest.raises(OSError):
                await future
            steps.append("end")

        RequestCoroutine(walk(), lambda _course, _bug: over.set()).start()
        await asyncio.wait_for(over.wait(), 5)
        return steps

    assert asyncio.run(main()) == ["task", "end"]


def test_a_future_that_is_done_when_its_course_is_cancelled_resumes_nothing() -> None:
    async def main() -> list[str]:
        steps: list[str] = []
        future = asyncio.get_running_loop().create_future()

        async def walk() -> None:
            try:
                await future
            except asyncio.CancelledError:
                steps.append("cancelled")
                await asyncio.sleep(0.01)
                steps.append("goodbye")

        course = RequestCoroutine(walk(), lambda _course, _bug: steps.append("ended"))
        course.start()
        future.set_result(None)  # its callback is on its way
        course.cancel()
        await asyncio.sleep(0.05)
        return steps

    assert asyncio.run(main()) == ["cancelled", "goodbye", "ended"]
