"""What the handlers of one worker share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final

from flyball.gateway.authentication import Access
from flyball.gateway.context import GatewayContext
from flyball.gateway.http.coroutines import RequestCoroutine
from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.gateway.long_texts import LongTexts
from flyball.gateway.metrics import Metrics
from flyball.gateway.recording.endpoint_findings import EndpointFindings
from flyball.gateway.recording.segment_format import Entry, encode
from flyball.gateway.recording.segment_writer import RecordingFailed, SegmentWriter
from flyball.gateway.recording.unrecorded import Unrecorded
from flyball.gateway.recording.worker_locks import WorkerLock
from flyball.gateway.request_limits import Limits
from flyball.gateway.routing import Routes
from flyball.gateway.upstream.failure_causes import FailureCauses
from flyball.gateway.upstream.load_balancer import LoadBalancer
from flyball.gateway.upstream.token_counts import TokenCounter
from flyball.records.identity import keyed_hash
from flyball.telemetry import log

HASHES_KEPT: Final = 16_384
RECORDING_FAILED = b"x-flyball-recording: failed\r\n"
FIRST_ROUTE_S: Final = 1.0
"""How long a request waits where nothing is served yet."""
LOOK_S: Final = 0.02


@dataclass(slots=True)
class WorkerState:
    """One worker's routes, engines, limits, recorder and numbers."""

    context: GatewayContext
    routes: Routes
    balancer: LoadBalancer
    access: Access
    limits: Limits
    writer: SegmentWriter
    metrics: Metrics
    mac_key: bytes
    row_key: bytes
    lifeline: WorkerLock | None = None
    losses: Unrecorded | None = None
    troubles: EndpointFindings | None = None
    courses: set[RequestCoroutine] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    mirrors: set[RequestCoroutine] = field(default_factory=set)
    mirrored_usd: dict[str, float] = field(default_factory=dict)  # by deployment of a shadow
    draining: bool = False
    wish_at: float = float("-inf")  # when a model was last wished for (model_listing.py)
    long_texts: LongTexts = field(default_factory=LongTexts)
    complaints: FailureCauses = field(default_factory=FailureCauses)
    reckoner: TokenCounter = field(default_factory=TokenCounter)
    unwritten: list[tuple[Entry, Exchange, Callable[[bool], None]]] = field(default_factory=list)
    hashed: Callable[[str, str], str] = field(init=False)
    """(purpose, value) → the keyed hash under `row_key`; the same people come again and again."""

    def __post_init__(self) -> None:
        self.hashed = lru_cache(maxsize=HASHES_KEPT)(partial(keyed_hash, self.row_key))

    def reload_routes(self) -> None:
        """Follow the table of routes; a look at one file when nothing changed."""
        if self.routes.reload() and self.routes.table is not None:
            self.balancer.install(self.routes.table)
            self.metrics.reloads.add("routes", "ok")

    def record(self, entry: Entry, kind: str) -> bool:
        """Write an entry to the segment; False, counted and logged, when that is impossible."""
        return self._written([entry], kind)[0]

    def record_then(self, entry: Entry, exchange: Exchange, then: Callable[[bool], None]) -> None:
        """Write a request's entry and then say whether it could be, when this turn of the loop is over.

        All that are given in one turn are sealed, written (once) and answered one after the other: under load that
        takes a fifth off what a request costs: the code of each step is in the processor's caches from the second
        on. A worker with little to do has one in a turn.
        """
        if not self.unwritten:
            asyncio.get_running_loop().call_soon(self._record_all)
        self.unwritten.append((entry, exchange, then))

    def _record_all(self) -> None:
        group, self.unwritten = self.unwritten, []
        written = self._written([entry for entry, _exchange, _then in group], "request")
        for recorded, (_entry, exchange, then) in zip(written, group, strict=True):
            try:
                then(recorded)
            except Exception:  # noqa: BLE001 - a bug of ours in one answer must not take the others with it
                log.exception("a recorded answer could not be sent")
                self.metrics.errors.add()
                exchange.cut()

    def _written(self, entries: list[Entry], kind: str) -> list[bool]:
        """Write entries with one write; which of them could be."""
        encoded = []
        written = []
        for entry in entries:
            try:
                encoded.append(encode(entry))
                written.append(True)
            except Exception:  # noqa: BLE001 - what cannot be written must not take the answer with it
                log.exception("an entry could not be encoded")
                written.append(False)
        try:
            if encoded:
                self.writer.append_all(encoded)
        except RecordingFailed:
            written = [False] * len(entries)
        except Exception:  # noqa: BLE001 - as above
            log.exception("entries could not be sealed")
            written = [False] * len(entries)
        for recorded in written:
            if recorded:
                self.metrics.recorded.add(kind)
            else:
                self.lose(kind)
        return written

    def lose(self, kind: str) -> None:
        """Count what could not be recorded; of a request nobody can tell from the records what it cost."""
        self.metrics.lost.add(kind)
        if self.losses is not None:
            self.losses.note(kind, self.writer.failure)
        if kind == "request" and self.lifeline is not None:
            self.lifeline.cut()

    @property
    def busy(self) -> int:
        """Requests being answered."""
        return len(self.courses) + len(self.tasks) + len(self.unwritten)

    @property
    def refuses_unrecorded(self) -> bool:
        """Whether an answer that cannot be recorded must not be given."""
        return self.context.config.recording.on_failure == "refuse"

    def check_recording(self) -> None:
        """503 before any work, where recording has just failed and must not."""
        if self.refuses_unrecorded and self.writer.failing:
            raise unrecorded()


def unrecorded() -> HttpRefusal:
    """503: the project wants no answer that is not recorded."""
    return HttpRefusal(
        503,
        "the request cannot be recorded, and recording.on_failure is refuse; free disk space",
        code="recording_failed",
        headers=(("retry-after", "5"), ("x-flyball-recording", "failed")),
    )


async def first_route(state: WorkerState) -> None:
    """Wait a little for a table of routes: the ledger says that the first release is live before the table has come."""
    end = time.monotonic() + FIRST_ROUTE_S
    while not state.routes.views and time.monotonic() < end:
        await asyncio.sleep(LOOK_S)
        state.reload_routes()
