"""Bad releases, one small class each: how it is made, how it goes wrong, and what ought to become of it.

A candidate that comes to nothing is `failed`, one that harms is `rolled_back`, one that nothing can be said of at the
deadline is `paused`. A good one goes live: a harness that never promotes would catch every bad one.
"""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

from flyball.wiring import Project
from served import Served, add_release
from standin import Mode, StandIn


class Candidate:
    """A release behind a stand-in; `began` is called once it gets requests, then `tick` several times a second."""

    expected: tuple[str, ...] = ("rolled_back",)

    def __init__(self, project: Project, stack: ExitStack, *, right: float, delay_s: float) -> None:
        self.server = stack.enter_context(StandIn(right=right, delay_s=delay_s, seed=2))
        self.release = add_release(project, f"candidate {type(self).__name__}", url=self.server.url, slots=64)

    def began(self) -> None:
        """It gets its first requests."""

    def tick(self, served: Served) -> None:
        """Time goes by."""


class Good(Candidate):
    """As good as live."""

    expected = ("live",)


class CrashesAtStart(Candidate):
    """A real engine whose model file is damaged."""

    expected = ("failed",)

    def __init__(self, project: Project, stack: ExitStack, *, right: float, delay_s: float) -> None:
        self.release = add_release(project, "damaged", corrupt=True)


class NeverReady(Candidate):
    """Listens and never answers."""

    expected = ("failed",)

    def __init__(self, project: Project, stack: ExitStack, *, right: float, delay_s: float) -> None:
        super().__init__(project, stack, right=right, delay_s=delay_s)
        self.server.mode = "hang"


class CrashesLater(Candidate):
    """A real engine that dies a moment after each start, once it has served."""

    def __init__(self, project: Project, stack: ExitStack, *, right: float, delay_s: float) -> None:
        self.release = add_release(project, "dies soon")
        self.ticks = 0

    def tick(self, served: Served) -> None:
        self.ticks += 1
        if self.ticks % 8 == 0:
            for engine in served.engines(ready=True):
                if engine.release == self.release:
                    os.kill(engine.pid, signal.SIGKILL)


class TurnsBad(Candidate):
    """Well until it gets requests."""

    mode: Mode = "well"

    def began(self) -> None:
        self.server.mode = self.mode


class Hangs(TurnsBad):
    """Takes requests and never answers."""

    mode = "hang"


class Fails(TurnsBad):
    """Answers 500."""

    mode = "500"


class Drops(TurnsBad):
    """Closes the connection without a word."""

    mode = "drop"


class SpeaksNoHttp(TurnsBad):
    """Answers bytes that are not HTTP."""

    mode = "not_http"


class CutsStreams(TurnsBad):
    """Breaks streams off in the middle."""

    mode = "cut"


class FailsNowAndThen(Candidate):
    """Fails one request in eight."""

    def began(self) -> None:
        self.server.fails = 0.125


class SlowBy3(Candidate):
    """Three times as slow as live, with answers as good."""

    def __init__(self, project: Project, stack: ExitStack, *, right: float, delay_s: float) -> None:
        super().__init__(project, stack, right=right, delay_s=3 * delay_s)


class Garbage(Candidate):
    """Fluent, fast, and never right."""

    def __init__(self, project: Project, stack: ExitStack, *, right: float, delay_s: float) -> None:
        super().__init__(project, stack, right=0.0, delay_s=delay_s)


class QuietlyWorse(Candidate):
    """Twenty points worse than live, with no other sign."""

    def __init__(self, project: Project, stack: ExitStack, *, right: float, delay_s: float) -> None:
        super().__init__(project, stack, right=right - 0.2, delay_s=delay_s)


CANDIDATES: dict[str, type[Candidate]] = {
    "good": Good,
    "crashes at start": CrashesAtStart,
    "never ready": NeverReady,
    "crashes later": CrashesLater,
    "hangs": Hangs,
    "answers 500": Fails,
    "drops connections": Drops,
    "speaks no HTTP": SpeaksNoHttp,
    "cuts streams": CutsStreams,
    "fails 1 in 8": FailsNowAndThen,
    "slow by 3": SlowBy3,
    "garbage": Garbage,
    "quietly worse": QuietlyWorse,
}
