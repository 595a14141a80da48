"""Which engine takes a request: least load, slots, a fair bounded queue, and a breaker per endpoint and model.

Waiting requests are served key by key in turn, so that one busy caller cannot starve the others. What a failure says of
an endpoint is the breaker's to say (breaker.py). Whether a request waits for an endpoint that is put aside, or fails at
once, is its own choice (`patient`): where nobody else could answer it, a restarting engine is worth waiting for.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from flyball.addresses import shown
from flyball.errors import FlyballError
from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.gateway.routing import ArmView, arm_key
from flyball.gateway.upstream.call import UpstreamFailure
from flyball.gateway.upstream.circuit_breaker import AVOIDED, MAX_LOAD_S, OPEN, CircuitBreaker
from flyball.gateway.upstream.client import EndpointClient
from flyball.storage.routing import Endpoint, RoutingTable
from flyball.telemetry import log

MAX_WAITING: Final = 512
AGAIN_S: Final = 1.0
"""How often an endpoint without its key is looked at again."""


class Target:
    """An endpoint that is asked for one model: the connections are shared with other models, the breaker is not."""

    __slots__ = ("breaker", "client")

    def __init__(self, client: EndpointClient, longest_pause_s: float) -> None:
        self.client = client
        self.breaker = CircuitBreaker(longest_pause_s)


class ArmQueue:
    """The endpoints of one arm for one model and who waits for them."""

    def __init__(self) -> None:
        self.targets: tuple[Target, ...] = ()
        self.waiting: OrderedDict[str, deque[tuple[asyncio.Future[Target], bool]]] = OrderedDict()
        self.length = 0

    def install(self, clients: list[EndpointClient], *, longest_pause_s: float) -> None:
        """Take over a new list of endpoints; what is known of those that stay is kept."""
        known = {target.client: target for target in self.targets}
        self.targets = tuple(known.get(client) or Target(client, longest_pause_s) for client in clients)
        if self.length:
            self._starve()

    def free(self, avoid: set[str], now: float, *, patient: bool) -> Target | None:
        """The least loaded endpoint with a free slot; who was tried already, or is in doubt, comes last."""
        best: Target | None = None
        best_rank: tuple[bool, int, float] | None = None
        for target in self.targets:
            client, breaker = target.client, target.breaker
            if client.active >= client.endpoint.slots or not breaker.usable(now, patient=patient):
                continue
            rank = (client.endpoint.id in avoid, breaker.rank(now), client.active / client.endpoint.slots)
            if best_rank is None or rank < best_rank:
                best, best_rank = target, rank
        return best

    def usable(self, now: float, *, patient: bool) -> bool:
        """Whether any endpoint may be asked, now or when it has a slot."""
        return any(target.breaker.usable(now, patient=patient) for target in self.targets)

    def wait(self, key: str, future: asyncio.Future[Target], *, patient: bool) -> None:
        """Join the queue."""
        if not self.length:
            self._starve()
        self.waiting.setdefault(key, deque()).append((future, patient))
        self.length += 1

    def _starve(self) -> None:
        """Be served by whichever endpoint gets a slot free."""
        for target in self.targets:
            target.client.hungry[self] = None

    def leave(self, key: str, future: asyncio.Future[Target], *, patient: bool) -> None:
        """Leave the queue without having been served."""
        line = self.waiting.get(key)
        if line is not None and (future, patient) in line:
            line.remove((future, patient))
            self.length -= 1
            if not line:
                del self.waiting[key]

    def serve(self) -> None:
        """Hand free slots to the requests that wait, one per key in turn."""
        now = time.monotonic()
        while self.length:
            key, line = next(iter(self.waiting.items()))
            future, patient = line[0]
            target = self.free(set(), now, patient=patient)
            if target is None and (patient or self.usable(now, patient=False)):
                return  # all are busy
            del self.waiting[key]
            line.popleft()
            self.length -= 1
            if line:
                self.waiting[key] = line  # at the end: the other keys come first
            if target is None:
                if not future.done():
                    future.set_exception(unavailable())
            elif not future.done():
                take(target)
                future.set_result(target)

    def fail_all(self, failure: UpstreamFailure) -> None:
        """Tell all who wait that nothing will come."""
        for line in self.waiting.values():
            for future, _patient in line:
                if not future.done():
                    future.set_exception(failure)
        self.waiting.clear()
        self.length = 0


class LoadBalancer:
    """All endpoints of all arms of one worker.

    No endpoint pauses for longer than `longest_pause_s`: a request that waits for one must see its next trial.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float,
        longest_pause_s: float,
        secrets: Callable[[str], str] | None,
        proxy_for: Callable[[str], str | None] | None = None,
        on_eject: Callable[[str], None] = lambda _endpoint: None,
    ) -> None:
        self._connect_timeout_s, self._longest_pause_s = connect_timeout_s, longest_pause_s
        self._secrets, self._proxy_for = secrets, proxy_for
        self._table: RoutingTable | None = None
        self._unreachable: set[Endpoint] = set()
        self._again_at = 0.0
        self._on_eject = on_eject
        self._clients: dict[Endpoint, EndpointClient] = {}
        self._old: list[EndpointClient] = []
        self.queues: dict[str, ArmQueue] = {}

    def install(self, table: RoutingTable) -> None:
        """Take over a new table: endpoints that stay keep their connections and load, the others finish their calls."""
        self._table = table
        arms = {arm_key(route, arm): arm for route in table.routes for arm in route.arms}
        wanted = {endpoint for arm in arms.values() for endpoint in arm.endpoints}
        for endpoint in [endpoint for endpoint in self._clients if endpoint not in wanted]:
            client = self._clients.pop(endpoint)
            client.close()
            self._old.append(client)
        self._unreachable &= wanted
        for endpoint in wanted - self._clients.keys():
            self._add(endpoint)
        for key in [key for key in self.queues if key not in arms]:
            self.queues.pop(key).fail_all(UpstreamFailure("withdrawn", "the release was taken off its route"))
        for key, arm in arms.items():
            queue = self.queues.setdefault(key, ArmQueue())
            clients = [self._clients[point] for point in arm.endpoints if point in self._clients]
            queue.install(clients, longest_pause_s=self._longest_pause_s)
            queue.serve()

    async def acquire(self, view: ArmView, *, key: str, avoid: set[str], deadline: float, patient: bool) -> Target:
        """A slot of one of the arm's endpoints; UpstreamFailure when none will come, 503 after `deadline`."""
        queue = self.queues.get(view.key)
        now = time.monotonic()
        if queue is None:
            raise UpstreamFailure("unavailable", "the release is not on a route any more")
        if not patient and not queue.usable(now, patient=False):
            raise unavailable()
        if not queue.length and (target := queue.free(avoid, now, patient=patient)) is not None:
            take(target)
            return target
        if queue.length >= MAX_WAITING:
            raise busy("the queue of this release is full")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Target] = loop.create_future()
        queue.wait(key, future, patient=patient)
        late = loop.call_later(max(deadline - now, 0.001), _too_late, future, queue)
        try:
            return await future
        except asyncio.CancelledError:
            self._give_back_if_served(future)
            raise
        finally:
            late.cancel()
            queue.leave(key, future, patient=patient)
            del future  # it and the traceback of a failure that it brings would keep each other

    def release(self, target: Target) -> None:
        """Give a slot back to the requests that wait for it, of one model after the other."""
        client = target.client
        client.active -= 1
        target.breaker.trial = False
        if client.hungry:
            self._serve_hungry(client)

    def _serve_hungry(self, client: EndpointClient) -> None:
        for queue in list(client.hungry):
            waited = queue.length
            queue.serve()
            if queue.length < waited or not waited:
                del client.hungry[queue]
                if queue.length:
                    client.hungry[queue] = None  # at the end: who got nothing comes first

    def succeeded(self, target: Target) -> None:
        """An endpoint answered."""
        target.breaker.succeeded(time.monotonic())

    def failed(self, target: Target, failure: UpstreamFailure) -> None:
        """An endpoint failed at one request; what that says of it depends on the failure."""
        now, breaker = time.monotonic(), target.breaker
        if failure.load:
            breaker.limited(now + min(failure.wait_s, MAX_LOAD_S))
            return
        state = breaker.failed(failure.kind, failure.cause, now)
        if state >= AVOIDED:
            self._on_eject(target.client.endpoint.id)
        if state == OPEN:
            target.client.close()

    def sweep(self) -> None:
        """Enforce times; called every few tens of milliseconds while there is work."""
        now = time.monotonic()
        if self._unreachable and self._table is not None and now >= self._again_at:
            self._again_at = now + AGAIN_S
            self.install(self._table)
        for client in (*self._clients.values(), *self._old):
            client.sweep(now)
        self._old = [client for client in self._old if client.calls or client.active]
        for queue in self.queues.values():
            if queue.length:
                queue.serve()

    def has_room(self, view: ArmView) -> bool:
        """Whether a request would be sent at once: to a free slot, of an endpoint that neither fails nor limits."""
        queue, now = self.queues.get(view.key), time.monotonic()
        if queue is None or queue.length:
            return False
        target = queue.free(set(), now, patient=False)
        return target is not None and target.breaker.rank(now) == 0

    def untried(self, view: ArmView, tried: set[str]) -> bool:
        """Whether an arm has an endpoint beside those tried."""
        queue = self.queues.get(view.key)
        return queue is not None and any(target.client.endpoint.id not in tried for target in queue.targets)

    def trouble(self, view: ArmView) -> str | None:
        """Why an arm's endpoints are not asked, as far as is known; None where all are."""
        queue = self.queues.get(view.key)
        found = []
        for target in () if queue is None else queue.targets:
            client, cause = target.client, target.breaker.cause
            if client.trouble or cause:
                found.append(f"{cause or 'connect: ' + client.trouble} ({client.endpoint.id})")
        return "; ".join(found) or None

    def ready(self, view: ArmView) -> bool:
        """Whether an arm has an endpoint that can be reached."""
        queue = self.queues.get(view.key)
        return queue is not None and queue.usable(time.monotonic(), patient=True)

    def close(self) -> None:
        """Close all connections."""
        for client in (*self._clients.values(), *self._old):
            client.close()

    def _add(self, endpoint: Endpoint) -> None:
        """An endpoint whose key cannot be had is left out: the others of the table are served all the same."""
        try:
            client = EndpointClient(
                endpoint,
                connect_timeout_s=self._connect_timeout_s,
                secrets=self._secrets,
                proxy_for=self._proxy_for,
            )
        except FlyballError as error:
            if endpoint not in self._unreachable:  # said once, tried each second
                log.error("%s gets no requests: %s", shown(endpoint.url), error)
                self._unreachable.add(endpoint)
            return
        self._unreachable.discard(endpoint)
        self._clients[endpoint] = client

    def _give_back_if_served(self, future: asyncio.Future[Target]) -> None:
        if future.done() and not future.cancelled() and future.exception() is None:
            self.release(future.result())


def take(target: Target) -> None:
    """Occupy a slot."""
    target.client.active += 1
    target.breaker.taken()


def unavailable() -> UpstreamFailure:
    """No endpoint may be asked; `trouble` says why."""
    return UpstreamFailure("unavailable", "no engine of this release is available")


def _too_late(future: asyncio.Future[Target], queue: ArmQueue) -> None:
    if future.done():
        return
    if queue.usable(time.monotonic(), patient=True):
        future.set_exception(busy("no slot of an engine became free in time (gateway.queue_timeout_s)"))
    else:
        future.set_exception(unavailable())


def busy(message: str) -> HttpRefusal:
    """503 with the advice to come back soon."""
    return HttpRefusal(503, message, code="overloaded", headers=(("retry-after", "1"),))
