"""Servers with other paths, headers, fields and keys than OpenAI's: asked as each wants to be."""

from __future__ import annotations

import gzip
import json
import socket
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from flyball import __version__
from flyball.errors import InputError
from flyball.settings import secret
from flyball.standalone.config import StandaloneConfig, Upstream
from flyball.standalone.routes import front_routes
from raw_upstream import END, STREAM, Asked, RawUpstream, answer, chunk, either, head, plain
from running_gateway import QUICK, RunningGateway, chat


def front(tmp_path: Path, *upstreams: Upstream, **environment: str) -> RunningGateway:
    """`flyball gateway` with these upstreams, in this environment."""

    def secrets(reference: str) -> str:
        return secret(reference, tmp_path, environment)

    found = front_routes(StandaloneConfig(upstreams=upstreams, models=("shop",)), secrets)
    gateway = RunningGateway(tmp_path, found, config=QUICK)
    gateway.context = replace(gateway.context, secrets=secrets)
    return gateway


def texts(gateway: RunningGateway, **fields: Any) -> tuple[str | None, str]:
    """What a client reads, whole and streamed."""
    client = gateway.client()
    whole = client.chat.completions.create(**chat(**fields)).choices[0].message.content
    parts = client.chat.completions.create(**chat(stream=True, **fields))
    return whole, "".join(part.choices[0].delta.content or "" for part in parts)


BOTH = ("on its way", "on its way")


PATHS = {
    "": "/v1/chat/completions",
    "/v1/": "/v1/chat/completions",
    "/api/paas/v4": "/api/paas/v4/chat/completions",
    "/v1beta/openai/": "/v1beta/openai/chat/completions",
    "/openai/deployments/g?api-version=1": "/openai/deployments/g/chat/completions?api-version=1",
    "/api/v1/chat/completions": "/api/v1/chat/completions",
}


def test_the_path_of_an_upstream_s_url_is_asked_and_its_query_kept(tmp_path: Path, stack: ExitStack) -> None:
    servers = {path: stack.enter_context(RawUpstream(either)) for path in PATHS}
    upstreams = [Upstream(url=server.url + path, models=(path or "none",)) for path, server in servers.items()]
    gateway = stack.enter_context(front(tmp_path, *upstreams))
    for path, server in servers.items():
        assert texts(gateway, model=path or "none") == BOTH
        assert {one.target for one in server.asked} == {PATHS[path]}


def test_headers_query_and_keys_are_those_of_the_upstream(tmp_path: Path, stack: ExitStack) -> None:
    server = stack.enter_context(RawUpstream(either))
    azure = Upstream(
        url=f"{server.url}/openai/deployments/g?api-version=1",
        headers={"api-key": "env:AZURE", "X-Title": "shop"},
        query={"region": "file:region"},
        forward_headers=("traceparent", "tracestate"),
    )
    (tmp_path / "region").write_text("eu west\n")
    (tmp_path / "region").chmod(0o600)
    gateway = stack.enter_context(front(tmp_path, azure, AZURE="secret"))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    more = {"traceparent": trace, "tracestate": "a=b", "x-mine": "1", "cookie": "c", "x-stainless-lang": "python"}
    gateway.client().chat.completions.create(**chat(), extra_headers=more)
    found = server.asked[0]
    assert found.target == "/openai/deployments/g/chat/completions?api-version=1&region=eu%20west"
    kept = {name: found.headers.get(name) for name in ("api-key", "x-title", "traceparent", "tracestate", "user-agent")}
    assert kept == {
        "api-key": "secret",
        "x-title": "shop",
        "traceparent": trace,
        "tracestate": "a=b",
        "user-agent": f"flyball/{__version__}",
    }
    assert found.headers["accept-encoding"] == "identity" and found.headers["host"] == f"127.0.0.1:{server.port}"
    assert not found.headers.keys() & {"authorization", "cookie", "x-mine", "x-stainless-lang"}


def test_a_trace_goes_on_by_default_and_nothing_else(tmp_path: Path, stack: ExitStack) -> None:
    server = stack.enter_context(RawUpstream(either))
    gateway = stack.enter_context(front(tmp_path, Upstream(url=server.url, key="env:KEY"), KEY="k"))
    more = {"traceparent": "00-1", "tracestate": "a=b"}
    gateway.client("client-key").chat.completions.create(**chat(), extra_headers=more)
    assert server.asked[0].headers["traceparent"] == "00-1" and "tracestate" not in server.asked[0].headers
    assert server.asked[0].headers["authorization"] == "Bearer k"


def test_a_client_gets_the_server_s_own_request_id(tmp_path: Path, stack: ExitStack) -> None:
    def script(asked: Asked, connection: socket.socket) -> None:
        if asked.body.get("stream"):
            connection.sendall(head("x-request-id: req_2") + chunk(STREAM) + END)
        elif "bad" in asked.raw.decode():
            connection.sendall(plain(b'{"error": {"message": "no"}}', "X-Request-ID: req_3", status="400 Bad"))
        else:
            connection.sendall(plain(answer(), "X-Request-Id: req_1"))

    server = stack.enter_context(RawUpstream(script))
    gateway = stack.enter_context(front(tmp_path, Upstream(url=server.url)))
    client = gateway.client()
    whole = client.chat.completions.with_raw_response.create(**chat())
    assert whole.headers["x-request-id"] == "req_1" and len(whole.headers["x-flyball-request-id"]) > 20
    streamed = client.chat.completions.with_raw_response.create(**chat(stream=True))
    assert streamed.headers["x-request-id"] == "req_2"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**chat("bad"))
    assert caught.value.request_id == "req_3"


REFUSALS = {
    "mistral": (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"]}]}),
    "mistral, in words": (400, {"message": "Extra inputs are not permitted"}),
    "azure, older": (400, {"error": {"message": "Unrecognized request argument supplied: stream_options"}}),
    "gemini": (400, [{"error": {"message": 'Invalid JSON payload. Unknown name "x": Cannot find field.'}}]),
    "a nameless one": (422, None),
    "an odd status": (500, {"error": "stream_options is not known"}),
}


def test_a_server_that_does_not_count_streams_is_not_asked_to_again(tmp_path: Path, stack: ExitStack) -> None:
    def refusing(status: int, document: Any) -> RawUpstream:
        def script(asked: Asked, connection: socket.socket) -> None:
            if "stream_options" in asked.body:
                body = b"" if document is None else json.dumps(document).encode()
                connection.sendall(plain(body, status=f"{status} No"))
            else:
                either(asked, connection)

        return stack.enter_context(RawUpstream(script))

    servers = {name: refusing(*said) for name, said in REFUSALS.items()}
    upstreams = [Upstream(url=server.url, models=(name,)) for name, server in servers.items()]
    gateway = stack.enter_context(front(tmp_path, *upstreams))
    for name, server in servers.items():
        assert texts(gateway, model=name) == BOTH and texts(gateway, model=name) == BOTH, name
        streams = ["stream_options" in one.body for one in server.asked if one.body.get("stream")]
        assert streams == [True, False, False], "learned once"
        asked, own = len(server.asked), chat(model=name, stream=True, stream_options={"include_usage": True})
        with pytest.raises(openai.APIStatusError):
            list(gateway.client().chat.completions.create(**own))
        assert all("stream_options" in one.body for one in server.asked[asked:]), (
            "who asks for it gets the server's word"
        )
    records = [entry.record for entry in gateway.requests()]
    assert [record.outcome for record in records].count("ok") == 4 * len(servers)
    assert {record.attempts for record in records if record.outcome == "ok"} == {1}


def test_an_error_in_the_stream_that_names_the_field_is_learned_from_too(tmp_path: Path, stack: ExitStack) -> None:
    def script(asked: Asked, connection: socket.socket) -> None:
        if "stream_options" in asked.body:
            event = b'data: {"error": {"code": 400, "message": "stream_options is not supported"}}\n\n'
            connection.sendall(head() + chunk(event) + END)
        else:
            either(asked, connection)

    server = stack.enter_context(RawUpstream(script))
    gateway = stack.enter_context(front(tmp_path, Upstream(url=server.url)))
    assert texts(gateway) == BOTH
    assert gateway.requests()[-1].record.attempts == 1


def test_a_request_that_is_wrong_by_itself_teaches_nothing(tmp_path: Path, stack: ExitStack) -> None:
    def script(asked: Asked, connection: socket.socket) -> None:
        if "odd" in asked.body:
            error = {"error": {"message": "Extra inputs are not permitted: odd", "type": "invalid_request_error"}}
            connection.sendall(plain(json.dumps(error).encode(), status="400 Bad Request"))
        else:
            either(asked, connection)

    server = stack.enter_context(RawUpstream(script))
    gateway = stack.enter_context(front(tmp_path, Upstream(url=server.url)))
    with pytest.raises(openai.BadRequestError, match="not permitted: odd"):
        list(gateway.client().chat.completions.create(**chat(stream=True), extra_body={"odd": 1}))
    texts(gateway)
    assert "stream_options" in server.asked[-1].body


def test_a_rotated_key_file_takes_effect_without_a_restart_and_at_once_after_a_401(
    tmp_path: Path, stack: ExitStack
) -> None:
    right = "first"

    def script(asked: Asked, connection: socket.socket) -> None:
        if asked.headers.get("authorization") == f"Bearer {right}":
            either(asked, connection)
        else:
            connection.sendall(plain(b'{"error": {"message": "wrong key"}}', status="401 Unauthorized"))

    def write(key: str) -> None:
        new = tmp_path / "key.new"
        new.write_text(key)
        new.chmod(0o600)
        new.replace(tmp_path / "key")

    server = stack.enter_context(RawUpstream(script))
    write("first")
    gateway = stack.enter_context(front(tmp_path, Upstream(url=server.url, key="file:key")))
    assert texts(gateway) == BOTH
    right = "second"
    write("second")
    assert texts(gateway) == BOTH, "the refused request is sent again with the new key"
    assert all(entry.record.outcome == "ok" and entry.record.attempts == 1 for entry in gateway.requests())
    write("third")
    time.sleep(1.3)
    right = "third"
    refused = sum(one.headers["authorization"] == "Bearer second" for one in server.asked)
    assert texts(gateway) == BOTH
    assert sum(one.headers["authorization"] == "Bearer second" for one in server.asked) == refused, "known before"
    (tmp_path / "key").unlink()
    time.sleep(1.2)
    assert texts(gateway) == BOTH, "the last key goes on"
    right = "elsewhere"
    with pytest.raises(openai.AuthenticationError, match="wrong key"):
        gateway.client().chat.completions.create(**chat())


def test_an_endpoint_comes_in_when_its_key_appears(tmp_path: Path, stack: ExitStack) -> None:
    server = stack.enter_context(RawUpstream(either))
    (tmp_path / "key").write_text("k")
    (tmp_path / "key").chmod(0o600)
    gateway = front(tmp_path, Upstream(url=server.url, key="file:key"))
    (tmp_path / "key").unlink()
    stack.enter_context(gateway)
    with pytest.raises(openai.InternalServerError):
        gateway.client().chat.completions.create(**chat())
    (tmp_path / "key").write_text("k")
    (tmp_path / "key").chmod(0o600)
    time.sleep(1.2)
    assert texts(gateway) == BOTH


def test_a_key_is_a_reference_and_one_that_is_none_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a secret reference") as caught:
        front(tmp_path, Upstream(url="http://127.0.0.1:1", key="sk-hunter2-hunter2"))
    assert "hunter2" not in str(caught.value)


def test_a_key_that_no_header_can_carry_is_named_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no header can carry") as caught:
        front(tmp_path, Upstream(url="http://127.0.0.1:1", key="env:KEY"), KEY="hunter2\r\nx: y")
    assert "hunter2" not in str(caught.value)


EMPTY = {
    "members that hold nothing": gzip.compress(b"") * 60_000,
    "blocks that hold nothing": gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 300_000,
}


@pytest.mark.parametrize("name", EMPTY)
def test_compressed_bytes_that_hold_nothing_are_not_read_for_ever(tmp_path: Path, stack: ExitStack, name: str) -> None:
    def script(_asked: Asked, connection: socket.socket) -> None:
        connection.sendall(head("content-encoding: gzip", kind="application/json") + chunk(EMPTY[name]))

    server = stack.enter_context(RawUpstream(script))
    gateway = stack.enter_context(front(tmp_path, Upstream(url=server.url)))
    with pytest.raises(openai.InternalServerError, match="next to nothing"):
        gateway.client().chat.completions.create(**chat())


def test_a_bomb_is_a_failure_and_takes_no_memory(tmp_path: Path, stack: ExitStack) -> None:
    bomb = gzip.compress(b" " * 100_000_000, compresslevel=1)

    def script(_asked: Asked, connection: socket.socket) -> None:
        connection.sendall(plain(bomb, "content-encoding: gzip"))

    server = stack.enter_context(RawUpstream(script))
    gateway = stack.enter_context(front(tmp_path, Upstream(url=server.url)))
    with pytest.raises(openai.InternalServerError) as caught:
        gateway.client().chat.completions.create(**chat())
    assert caught.value.status_code == 502
