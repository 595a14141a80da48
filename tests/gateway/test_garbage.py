"""What a request took is free when it is over: texts do not wait for Python to look for cycles."""

from __future__ import annotations

import gc
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from flyball.gateway.config import GatewayConfig
from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.server import Connection
from flyball.gateway.upstream.call import Call
from flyball.gateway.upstream.sse import AnswerContent
from flyball.gateway.upstream.stream_relay import Relay
from flyball.storage.routing import Arm, Endpoint
from mock_engine import MockEngine
from running_gateway import LIVE, RunningGateway, arm, chat, table

IMPATIENT = GatewayConfig(retries=0, queue_timeout_s=0.2)
OURS = (Call, Connection, Exchange, Relay, AnswerContent)


@contextmanager
def garbage() -> Iterator[list[Any]]:
    """What only the collector can free, of all that was made meanwhile."""
    gc.collect()
    gc.disable()
    found: list[Any] = []
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [thing for thing in gc.garbage if isinstance(thing, OURS)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def recorded(gateway: RunningGateway, count: int) -> None:
    until = time.monotonic() + 10
    while len(gateway.requests()) < count or (gateway.gateway is not None and gateway.gateway.edge.connections):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behaviour", ["ok", "400", "cut", "never_ends"])
def test_an_answered_request_leaves_nothing_for_the_collector(behaviour: str, stream: bool, tmp_path: Path) -> None:
    with MockEngine(behaviour) as engine, RunningGateway(tmp_path, table(arm(engine))) as gateway:
        gateway.post("/v1/chat/completions", chat(stream=stream))
        recorded(gateway, 1)
        with garbage() as found:
            for _ in range(3):
                gateway.post("/v1/chat/completions", chat(stream=stream))
            recorded(gateway, 4)
        assert found == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("behaviour", ["429", "500", "drop", "garbage", "html"])
def test_nor_does_one_whose_engines_fail(behaviour: str, stream: bool, tmp_path: Path) -> None:
    with (
        MockEngine(behaviour) as engine,
        RunningGateway(tmp_path, table(arm(engine)), config=IMPATIENT) as gateway,
        gateway.client(timeout=20) as client,
        garbage() as found,
    ):
        for _ in range(4):  # the last waits in vain for an engine that is put aside for a second
            with pytest.raises(openai.APIStatusError):
                client.chat.completions.create(**chat(stream=stream))
        client.close()
        recorded(gateway, 4)
    assert found == []


def test_nor_does_one_whose_engine_is_away(tmp_path: Path) -> None:
    away = Endpoint(id="away", url="http://127.0.0.1:9", slots=1)
    routes = table(Arm(release=LIVE, variant="live", weight=1.0, endpoints=(away,)))
    with RunningGateway(tmp_path, routes, config=IMPATIENT) as gateway:
        assert gateway.post("/v1/chat/completions", chat())[0] in (502, 503)  # refused, or put aside for it
        recorded(gateway, 1)
        with garbage() as found:
            for _ in range(3):
                gateway.post("/v1/chat/completions", chat())
            recorded(gateway, 4)
    assert found == []


@pytest.mark.parametrize("behaviour", ["hang", "stall"])
def test_a_client_that_went_away_leaves_nothing_either(behaviour: str, tmp_path: Path) -> None:
    body = json.dumps(chat(stream=True)).encode()
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    with MockEngine(behaviour) as engine, RunningGateway(tmp_path, table(arm(engine))) as gateway, garbage() as found:
        for number in range(3):
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
                client.sendall(request)
                if behaviour == "stall":
                    client.recv(65536)
                until = time.monotonic() + 10
                while len(engine.bodies) <= number:
                    assert time.monotonic() < until
                    time.sleep(0.01)
            recorded(gateway, number + 1)
    assert found == []
