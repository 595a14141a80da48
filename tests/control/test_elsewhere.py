"""Releases whose engine is somebody else's server: probed, watched, rolled back when it goes silent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from msgspec.structs import replace

from control_shop import ROLLOUT, Shop, passes
from flyball.addresses import Reach
from flyball.control.reconciler import step
from flyball.serving.engine_processes import running_engines
from flyball.serving.terms import Terms
from flyball.storage.deployments import history
from raw_upstream import RawUpstream, either

ANSWER = b'{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{}}'
SQLITE = pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)


class Server(ThreadingHTTPServer):
    """An OpenAI-compatible server that can be told to fail."""

    status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer(b"{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(ANSWER)

    def _answer(self, body: bytes) -> None:
        assert isinstance(self.server, Server)
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@SQLITE
def test_it_goes_live_after_a_real_answer_and_is_rolled_back_when_it_fails(shop: Shop, server: Server) -> None:
    one = shop.release("one")
    elsewhere = shop.release("two", kind="openai", flags={"url": server.url, "usd_per_million": [1, 2.5]})
    context = shop.control()
    shop.deploy(one)
    passes(context, lambda: shop.live() == one)
    second = shop.deploy(elsewhere)
    passes(context, lambda: shop.arms()["live"][::2] == (elsewhere, 1))
    assert [handle.release for handle in running_engines(context.run_dir)] == [one]
    prices = {arm.variant: arm.usd_per_million for arm in shop.routes.routes[0].arms}
    assert prices == {"live": (1.0, 2.5), "previous": None}
    again = shop.control()  # a restart of control takes it on without a gap, and without taking it for dead
    for _ in range(3):
        step(again)
        assert shop.arms()["live"][::2] == (elsewhere, 1)
    server.status = 503
    passes(again, lambda: shop.live() == one)
    assert "has not answered" in str(history(shop.ledger, second.id)[-1][0].evidence["reason"])


@SQLITE
def test_one_that_never_answers_is_never_live(shop: Shop, server: Server) -> None:
    server.status = 500
    release = shop.release("one", kind="openai", flags={"url": server.url})
    context = shop.control(rollout=replace(ROLLOUT, ready_timeout_s=0.5))
    deployment = shop.deploy(release)
    passes(context, lambda: shop.states(deployment)[-1] == "failed")
    assert "answered 500" in str(history(shop.ledger, deployment.id)[-1][0].evidence["reason"])
    assert shop.live() is None


@SQLITE
def test_a_server_with_a_base_of_its_own_is_probed_watched_and_published_there(shop: Shop, stack: ExitStack) -> None:
    there = stack.enter_context(RawUpstream(either))
    url = f"{there.url}/api/paas/v4?api-version=1"
    release = shop.release("one", kind="openai", flags={"url": url, "exact": True})
    reach = Reach(headers=(("api-key", "env:KEY"),))
    context = shop.control()
    context.secrets = {"env:KEY": "secret"}.__getitem__
    context.terms = lambda _name, _release: Terms(reach=reach)
    shop.deploy(release)
    passes(context, lambda: shop.live() == release)
    passes(context, lambda: any(one.method == "GET" for one in there.asked))
    points = shop.routes.routes[0].arms[0].endpoints
    assert [(point.url, point.exact, point.reach) for point in points] == [(url, True, reach)]
    assert {one.target for one in there.asked} == {
        f"/api/paas/v4/{name}?api-version=1" for name in ("chat/completions", "models")
    }
    assert {one.headers.get("api-key") for one in there.asked} == {"secret"}
