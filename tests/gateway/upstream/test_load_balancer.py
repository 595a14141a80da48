"""Who waits for a slot gets one, of whichever endpoint, old or new."""

from __future__ import annotations

import asyncio
import time

import pytest

from flyball.gateway.routing import view_of
from flyball.gateway.upstream.load_balancer import LoadBalancer
from flyball.storage.routing import Arm, Endpoint, Route, RoutingTable
from running_gateway import LIVE

OLD, NEW = (Endpoint(id=name, url=f"http://127.0.0.1:9/{name}", slots=1) for name in ("old", "new"))


def route(name: str, *points: Endpoint) -> Route:
    return Route(name=name, arms=(Arm(release=LIVE, variant="live", weight=1.0, endpoints=points, model=name),))


def table(*routes: Route) -> RoutingTable:
    return RoutingTable(version=1, project="shop", routes=routes)


@pytest.mark.parametrize("points", [(NEW,), (OLD,)], ids=["which it had", "which came meanwhile"])
def test_a_model_gets_its_turn_at_an_endpoint_though_another_never_rests(points: tuple[Endpoint, ...]) -> None:
    async def take_turns() -> None:
        balancer = LoadBalancer(connect_timeout_s=1.0, longest_pause_s=1.0, secrets=None)
        busy, other = route("busy", NEW), route("other", *points)
        balancer.install(table(busy, other))
        views = {one.name: view_of(one, {}).arms[0] for one in (busy, other)}

        def acquire(name: str) -> asyncio.Task[object]:
            end = time.monotonic() + 5.0
            asked = balancer.acquire(views[name], key="k", avoid=set(), deadline=end, patient=True)
            return asyncio.get_running_loop().create_task(asked)

        held = await acquire("busy")
        if points == (OLD,):
            await acquire("other")
        first, waiting = [acquire("busy") for _ in range(3)], acquire("other")
        await asyncio.sleep(0)
        balancer.install(table(busy, route("other", *{*points, NEW})))
        balancer.release(held)
        balancer.release(held)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert waiting.done() and first[0].done() and not first[1].done(), "the second slot is the other model's"

    asyncio.run(take_turns())
