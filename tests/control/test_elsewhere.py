"""Releases whose engine is somebody else's server: probed, watched, rolled back when it goes silent."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from msgspec.structs import replace

from control_shop import ROLLOUT, Shop, passes
from flyball.control.reconcile import step
from flyball.serving.engines import running_engines
from flyball.storage.deployments import history

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
