"""The completer asks real sockets: kept-alive, dropped, slow, malformed and silent ones."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from flyball.errors import InputError, UpstreamError
from flyball.inference.completions import HttpCompleter, parse_completion

ANSWER = {
    "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
ASK = {"messages": [{"role": "user", "content": "hi"}]}


class Upstream(BaseHTTPRequestHandler):
    """Answers every chat with what the server was told to say."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server: Any = self.server
        sent = self.rfile.read(int(self.headers["content-length"]))
        server.seen.append((self.path, self.headers.get("authorization"), json.loads(sent)))
        server.peers.add(self.client_address)
        body = server.body
        self.send_response(server.status)
        self.send_header("content-length", str(len(body) + server.lie))
        self.end_headers()
        self.wfile.write(body)
        if server.lie or len(server.seen) in server.drop_after:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def upstream() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.body, server.status, server.lie, server.drop_after = json.dumps(ANSWER).encode(), 200, 0, set()
    server.seen, server.peers, server.daemon_threads = [], set(), True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_an_answer_is_taken_apart_and_the_address_may_end_in_v1(upstream, suffix):
    answer = HttpCompleter(upstream.url + suffix, model="m", api_key="secret").complete(ASK)
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens, answer.finish_reason) == ("a", 3, 2, "stop")
    assert answer.total_ms > 0
    assert upstream.seen == [("/v1/chat/completions", "Bearer secret", {**ASK, "model": "m"})]


@pytest.mark.parametrize(
    ("message", "usage", "expected"),
    [
        ({"content": "a"}, None, ("a", 0, 0)),
        ({"content": "a"}, {"prompt_tokens": None, "completion_tokens": "2"}, ("a", 0, 2)),
        ({"content": "a"}, {"prompt_tokens": 3.0, "completion_tokens": -1}, ("a", 3, 0)),
        ({"content": [{"type": "text", "text": "a"}, "b"]}, {}, ("ab", 0, 0)),
        ({"content": None}, [], ("", 0, 0)),
    ],
)
def test_odd_counts_and_parts_are_read_leniently(upstream, message, usage, expected):
    upstream.body = json.dumps({"choices": [{"message": message, "finish_reason": None}], "usage": usage}).encode()
    found = HttpCompleter(upstream.url).complete(ASK)
    assert (found.text, found.prompt_tokens, found.completion_tokens) == expected


def test_connections_are_kept_and_shared_by_threads(upstream):
    completer = HttpCompleter(upstream.url)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: completer.complete(ASK).text, range(40)))
    assert answers == ["a"] * 40
    assert len(upstream.peers) <= 4
    completer.close()


def test_a_kept_connection_that_was_dropped_is_replaced_without_a_failure(upstream):
    upstream.drop_after = {1, 2}
    completer = HttpCompleter(upstream.url)
    assert [completer.complete(ASK).text for _ in range(3)] == ["a", "a", "a"]
    assert len(upstream.seen) == 3


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (500, b"out of memory", "answered 500: out of memory"),
        (200, b"not json", "is not a chat completion"),
        (200, b"[]", "is not a chat completion"),
        (200, b'{"choices": []}', "is not a chat completion"),
    ],
)
def test_what_is_no_answer_is_an_upstream_error_with_what_came(upstream, status, body, message):
    upstream.status, upstream.body = status, body
    with pytest.raises(UpstreamError, match=message):
        HttpCompleter(upstream.url).complete(ASK)


def test_a_truncated_answer_is_not_asked_for_again(upstream):
    upstream.lie = 10
    with pytest.raises(UpstreamError, match="does not answer"):
        HttpCompleter(upstream.url).complete(ASK)
    assert len(upstream.seen) == 1


def test_nobody_listening_is_an_upstream_error():
    with pytest.raises(UpstreamError, match="does not answer"):
        HttpCompleter("http://127.0.0.1:1").complete(ASK)


def test_a_silent_server_is_given_up_after_the_time_out():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        completer = HttpCompleter(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
        with pytest.raises(UpstreamError, match="timed out"):
            completer.complete(ASK)


@pytest.mark.parametrize("url", ["localhost:80", "ftp://x", ""])
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(InputError, match="is not an HTTP address"):
        HttpCompleter(url)


def test_half_a_character_at_the_end_of_an_answer_is_replaced_and_the_answer_kept() -> None:
    """A server whose strings are UTF-16 writes it where the token limit falls inside an emoji."""
    raw = (
        rb'{"choices": [{"message": {"content": "fine \ud83d\ude00 \ud83d"}, "finish_reason": "length"}], "took": NaN}'
    )
    found = parse_completion(raw, total_ms=1.0)
    assert (found.text, found.finish_reason) == ("fine \U0001f600 \ufffd", "length")
