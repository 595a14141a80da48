"""Which engine takes a request: least load, slots, a fair bounded queue, and ejection of engines that fail.

Waiting requests are served key by key in turn, so that one busy caller cannot starve the others. An endpoint that
fails three times in a row is put aside for a second, then for twice as long each time; after that one request tries
it. Whether a request waits for an endpoint that is put aside, or fails at once, is its own choice (`patient`): where
there is no other arm to fall back on, a restarting engine is worth waiting for.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from flyball.errors import FlyballError
from flyball.gateway.calls import UpstreamFailure
from flyball.gateway.envelope import HttpRefusal
from flyball.gateway.routing import ArmView
from flyball.gateway.upstream import EndpointClient
from flyball.storage.routing import Endpoint, RoutingTable
from flyball.telemetry import log

FAILURES_TO_EJECT: Final = 3
EJECT_S: Final = 1.0
MAX_EJECT_S: Final = 4.0
MAX_WAITING: Final = 512


class ArmQueue:
    """The endpoints of one arm and who waits for them."""

    def __init__(self) -> None:
        self.clients: tuple[EndpointClient, ...] = ()
        self.waiting: OrderedDict[str, deque[asyncio.Future[EndpointClient]]] = OrderedDict()
        self.length = 0

    def free(self, avoid: set[str], now: float) -> EndpointClient | None:
        """The least loaded endpoint with a free slot; one that was tried already only when there is no other."""
        best: EndpointClient | None = None
        best_rank: tuple[bool, float] | None = None
        for client in self.clients:
            if client.active >= client.endpoint.slots or not _usable(client, now):
                continue
            rank = (client.endpoint.id in avoid, client.active / client.endpoint.slots)
            if best_rank is None or rank < best_rank:
                best, best_rank = client, rank
        return best

    def all_ejected(self, now: float) -> bool:
        """Whether there is nothing to wait for."""
        return not any(_usable(client, now) for client in self.clients)

    def wait(self, key: str, future: asyncio.Future[EndpointClient]) -> None:
        """Join the queue."""
        self.waiting.setdefault(key, deque()).append(future)
        self.length += 1

    def leave(self, key: str, future: asyncio.Future[EndpointClient]) -> None:
        """Leave the queue without having been served."""
        line = self.waiting.get(key)
        if line is not None and future in line:
            line.remove(future)
            self.length -= 1
            if not line:
                del self.waiting[key]

    def serve(self) -> None:
        """Hand free slots to whoever waits, one per key in turn."""
        now = time.monotonic()
        while self.length and (client := self.free(set(), now)) is not None:
            key, line = self.waiting.popitem(last=False)
            future = line.popleft()
            self.length -= 1
            if line:
                self.waiting[key] = line  # at the end: the other keys come first
            if not future.done():
                take(client)
                future.set_result(client)

    def fail_all(self, failure: UpstreamFailure) -> None:
        """Tell all who wait that nothing will come."""
        for line in self.waiting.values():
            for future in line:
                if not future.done():
                    future.set_exception(failure)
        self.waiting.clear()
        self.length = 0


class Balancer:
    """All endpoints of all arms of one worker."""

    def __init__(
        self,
        *,
        connect_timeout_s: float,
        secrets: Callable[[str], str] | None,
        on_eject: Callable[[str], None] = lambda _endpoint: None,
    ) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._secrets = secrets
        self._on_eject = on_eject
        self._clients: dict[Endpoint, EndpointClient] = {}
        self._old: list[EndpointClient] = []
        self.queues: dict[str, ArmQueue] = {}

    def install(self, table: RoutingTable) -> None:
        """Take over a new table: endpoints that stay keep their connections and load, the others finish their calls."""
        arms = {arm.release: arm for route in table.routes for arm in route.arms}
        wanted = {endpoint for arm in arms.values() for endpoint in arm.endpoints}
        for endpoint in [endpoint for endpoint in self._clients if endpoint not in wanted]:
            client = self._clients.pop(endpoint)
            client.close()
            self._old.append(client)
        for endpoint in wanted - self._clients.keys():
            self._add(endpoint)
        for key in [key for key in self.queues if key not in arms]:
            self.queues.pop(key).fail_all(UpstreamFailure("withdrawn", "the release was taken off its route"))
        for key, arm in arms.items():
            queue = self.queues.setdefault(key, ArmQueue())
            queue.clients = tuple(self._clients[point] for point in arm.endpoints if point in self._clients)
            queue.serve()

    async def acquire(
        self, view: ArmView, *, key: str, avoid: set[str], deadline: float, patient: bool
    ) -> EndpointClient:
        """A slot of one of the arm's endpoints; UpstreamFailure when none will come, 503 after `deadline`."""
        queue = self.queues.get(view.key)
        now = time.monotonic()
        if queue is None or (not patient and queue.all_ejected(now)):
            raise UpstreamFailure("unavailable", "no engine of this release is available")
        if not queue.length and (client := queue.free(avoid, now)) is not None:
            take(client)
            return client
        if queue.length >= MAX_WAITING:
            raise busy("the queue of this release is full")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[EndpointClient] = loop.create_future()
        queue.wait(key, future)
        late = loop.call_later(max(deadline - now, 0.001), _too_late, future)
        try:
            return await future
        except asyncio.CancelledError:
            self._give_back_if_served(future, queue)
            raise
        finally:
            late.cancel()
            queue.leave(key, future)
            del future  # it and the traceback of a failure that it brings would keep each other

    def release(self, view: ArmView, client: EndpointClient) -> None:
        """Give a slot back."""
        client.active -= 1
        client.trial = False
        queue = self.queues.get(view.key)
        if queue is not None and queue.length:
            queue.serve()

    def succeeded(self, client: EndpointClient) -> None:
        """An endpoint answered."""
        client.failures = client.ejections = 0
        client.ejected_until = 0.0

    def failed(self, client: EndpointClient) -> None:
        """An endpoint failed; after a few times in a row, or on its one trial, it is put aside."""
        client.failures += 1
        trial = client.ejected_until > 0
        if client.failures >= FAILURES_TO_EJECT or trial:
            pause = min(EJECT_S * 2**client.ejections, MAX_EJECT_S)
            client.ejections += 1
            client.ejected_until = time.monotonic() + pause
            client.close()
            self._on_eject(client.endpoint.id)

    def sweep(self) -> None:
        """Enforce times; called every few tens of milliseconds while there is work."""
        now = time.monotonic()
        for client in (*self._clients.values(), *self._old):
            client.sweep(now)
        self._old = [client for client in self._old if client.calls or client.active]
        for queue in self.queues.values():
            if queue.length:
                queue.serve()

    def has_room(self, view: ArmView) -> bool:
        """Whether a request would be sent at once, without waiting for a slot."""
        queue = self.queues.get(view.key)
        return queue is not None and not queue.length and queue.free(set(), time.monotonic()) is not None

    def untried(self, view: ArmView, tried: set[str]) -> bool:
        """Whether an arm has an endpoint beside those tried."""
        queue = self.queues.get(view.key)
        return queue is not None and any(client.endpoint.id not in tried for client in queue.clients)

    def trouble(self, view: ArmView) -> str | None:
        """Why an arm's endpoints cannot be reached, as far as is known; None where all can."""
        queue = self.queues.get(view.key)
        clients = () if queue is None else queue.clients
        found = [f"connect: {client.trouble} ({client.endpoint.id})" for client in clients if client.trouble]
        return "; ".join(found) or None

    def ready(self, view: ArmView) -> bool:
        """Whether an arm has an endpoint that is not put aside."""
        queue = self.queues.get(view.key)
        return queue is not None and not queue.all_ejected(time.monotonic())

    def close(self) -> None:
        """Close all connections."""
        for client in (*self._clients.values(), *self._old):
            client.close()

    def _add(self, endpoint: Endpoint) -> None:
        """An endpoint whose key cannot be had is left out: the others of the table are served all the same."""
        try:
            secret = self._secrets(endpoint.api_key) if endpoint.api_key and self._secrets else None
        except FlyballError as error:
            log.error("%s gets no requests: %s", endpoint.url, error)
            return
        self._clients[endpoint] = EndpointClient(endpoint, api_key=secret, connect_timeout_s=self._connect_timeout_s)

    def _give_back_if_served(self, future: asyncio.Future[EndpointClient], queue: ArmQueue) -> None:
        if future.done() and not future.cancelled() and future.exception() is None:
            future.result().active -= 1
            queue.serve()


def take(client: EndpointClient) -> None:
    """Occupy a slot; the first after an ejection is the trial that decides."""
    client.active += 1
    client.trial = client.ejected_until > 0


def _usable(client: EndpointClient, now: float) -> bool:
    """Not put aside, or its time is over and nobody tries it yet."""
    return now >= client.ejected_until and not client.trial


def _too_late(future: asyncio.Future[EndpointClient]) -> None:
    if not future.done():
        future.set_exception(busy("no slot of an engine became free in time (gateway.queue_timeout_s)"))


def busy(message: str) -> HttpRefusal:
    """503 with the advice to come back soon."""
    return HttpRefusal(503, message, code="overloaded", headers=(("retry-after", "1"),))
