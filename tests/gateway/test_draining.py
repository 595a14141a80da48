"""A worker that ends: nobody who has reached it is turned away, and what was answered arrives."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from mock_engine import MockEngine
from running_gateway import RunningGateway, arm, chat, receive, split, table

BODY = json.dumps(chat()).encode()
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


@pytest.fixture
def engine(stack: ExitStack) -> MockEngine:
    return stack.enter_context(MockEngine())


@pytest.fixture
def gateway(stack: ExitStack, tmp_path: Path, engine: MockEngine) -> RunningGateway:
    return stack.enter_context(RunningGateway(tmp_path, table(arm(engine))))


def connected(gateway: RunningGateway, stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=10))


def one_answer(client: socket.socket) -> bytes:
    data = b""
    while b"}]" not in data.partition(b"\r\n\r\n")[2]:
        piece = client.recv(65536)
        assert piece, data
        data += piece
    return data


@pytest.mark.parametrize("used", [False, True])
def test_a_request_on_its_way_is_answered_and_told_that_the_connection_closes(
    gateway: RunningGateway, stack: ExitStack, used: bool
) -> None:
    client = connected(gateway, stack)
    if used:
        client.sendall(REQUEST)
        assert b"connection: close" not in one_answer(client)
    gateway.stop_later()
    time.sleep(0.2)
    client.sendall(REQUEST)
    status, headers, _ = split(receive(client))
    assert (status, headers["connection"]) == (200, "close")


def test_a_request_that_is_there_in_part_is_read_to_its_end(gateway: RunningGateway, stack: ExitStack) -> None:
    client = connected(gateway, stack)
    client.sendall(REQUEST[:-20])
    time.sleep(0.1)
    gateway.stop_later()
    time.sleep(0.8)
    client.sendall(REQUEST[-20:])
    assert split(receive(client))[0] == 200


def test_connections_that_wait_to_be_accepted_are_taken_before_the_door_closes(
    gateway: RunningGateway, stack: ExitStack
) -> None:
    loop, busy = gateway._loop, threading.Event()
    assert loop is not None

    def busy_for_a_moment() -> None:
        busy.set()
        time.sleep(0.5)

    loop.call_soon_threadsafe(busy_for_a_moment)
    gateway.stop_later()
    assert busy.wait(5)
    clients = [connected(gateway, stack) for _ in range(20)]
    for client in clients:
        client.sendall(REQUEST)
    assert [split(receive(client))[0] for client in clients] == [200] * 20


def test_idle_connections_hold_the_end_up_for_a_moment_only(gateway: RunningGateway, stack: ExitStack) -> None:
    clients = [connected(gateway, stack) for _ in range(5)]
    began = time.monotonic()
    gateway.stop()
    assert 0.4 < time.monotonic() - began < 3.0
    assert [client.recv(1) for client in clients] == [b""] * 5  # closed, not reset


def test_without_connections_it_ends_at_once(gateway: RunningGateway) -> None:
    began = time.monotonic()
    gateway.stop()
    assert time.monotonic() - began < 0.4


def test_a_slow_client_gets_all_of_a_large_answer(
    gateway: RunningGateway, engine: MockEngine, stack: ExitStack
) -> None:
    engine.words = ["x" * 6_000_000]
    client = connected(gateway, stack)
    client.sendall(REQUEST)
    time.sleep(0.5)  # answered, and most of it unsent
    gateway.stop_later()
    time.sleep(0.7)
    status, _, answer = split(receive(client))
    assert status == 200 and len(answer["choices"][0]["message"]["content"]) == 6_000_000
