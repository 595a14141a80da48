"""One run of load: send each planned request at its moment, wait for what is under way, record. I/O: sockets, clock."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from flyball.addresses import Target
from flyball.errors import UpstreamError
from flyball.evaluation.load.outcomes import Recording
from flyball.evaluation.load.planned_requests import Planned
from flyball.evaluation.load.precise_timer import PreciseTimer
from flyball.evaluation.load.sender import Sender
from flyball.telemetry import Progress, quiet

SHOW_S: Final = 0.5
_START_S: Final = 0.02
_AT_ONCE: Final = 64
"""Requests sent between two looks at what has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The server under load, and how long its answers are waited for."""

    target: Target
    tls: ssl.SSLContext | None
    timeout_s: float


async def run_load(
    endpoint: Endpoint,
    plan: Iterator[Planned],
    *,
    seconds: float,
    stop: asyncio.Event | None = None,
    progress: Progress = quiet,
    what: str = "load",
) -> Recording:
    """Send the plan, of which all is due within `seconds`; whatever is set in `stop` ends it early.

    Returns when each request has an answer, an error, or is over its time.
    """
    recording, loop = Recording(), asyncio.get_running_loop()
    address = await address_of(endpoint.target)
    sender = Sender(endpoint.target, address, tls=endpoint.tls, recording=recording, timeout_s=endpoint.timeout_s)
    gc.collect()
    gc.freeze()
    cpu, begun = time.process_time(), time.monotonic() + _START_S
    clock = Clock(sender, plan, begun=begun)
    clock.timer = PreciseTimer(loop, clock.tick)
    clock.tick()
    try:
        while not (clock.is_over and not sender.in_flight) and not (stop is not None and stop.is_set()):
            await asyncio.sleep(0.01 if clock.is_over else min(SHOW_S, 0.1))
            progress(described(what, recording, sender, begun), 0, 0)
        ended_s = time.monotonic() - begun
    finally:
        clock.timer.close()
        await sender.close()
        gc.unfreeze()
    recording.interrupted = stop is not None and stop.is_set()
    recording.seconds = min(seconds, ended_s) if recording.interrupted else seconds
    recording.drained_s = ended_s
    recording.cpu_share = (time.process_time() - cpu) / max(ended_s, 1e-9)
    return recording


class Clock:
    """Hands the sender each request at its moment."""

    def __init__(self, sender: Sender, plan: Iterator[Planned], *, begun: float) -> None:
        self._sender, self._plan, self._begun = sender, plan, begun
        self._next = next(plan, None)
        self.timer: PreciseTimer | None = None

    @property
    def is_over(self) -> bool:
        """Whether all has been sent."""
        return self._next is None

    def tick(self) -> None:
        """Send what is due, and wake up for the next."""
        assert self.timer is not None
        for _ in range(_AT_ONCE):
            if self._next is None:
                return
            due = self._begun + self._next.at_s
            if due > time.monotonic():
                break
            self._sender.send(self._next, due)
            self._next = next(self._plan, None)
        if self._next is not None:
            self.timer.arm(self._begun + self._next.at_s)


async def address_of(target: Target) -> str:
    """The server's first address, looked up once; UpstreamError when its name has none."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UpstreamError(f"{target.host} has no address: {error}", cure="check the URL") from error
    for *_, place in found:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(str(place[0]), target.port), 5.0)
        except OSError:
            continue
        writer.close()
        return str(place[0])
    raise UpstreamError(f"{target.authority} does not answer", cure="check that the server runs there")


def described(what: str, recording: Recording, sender: Sender, begun: float) -> str:
    """A line on how the run goes."""
    failed = len(recording) - recording.error.count("")
    passed = max(time.monotonic() - begun, 1e-3)
    return (
        f"{what} · {passed:.0f} s · {sender.sent} sent ({sender.sent / passed:,.0f}/s) · {len(recording)} ended"
        f" · {failed} failed · {len(sender.in_flight)} under way"
    )
