"""What a client may ask of a release over HTTP, and that other servers get a client's own bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from flyball.inference.request_fields import fields_of_release
from flyball.records import Constraint, EngineSettings
from flyball.storage.routing import Arm
from mock_engine import MockEngine
from running_gateway import CANARY, RunningGateway, arm, chat, in_front_of, release, table

FREE = release(
    constraint=Constraint(kind="none"),
    input_redaction="none",
    request_fields=fields_of_release(None, labels=False, tools=False, elsewhere=False),
)
LABELS = release(request_fields=())
TOOLS = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with MockEngine() as running:
        yield running


def of(release_: object, made: Arm) -> Arm:
    return msgspec.structs.replace(made, prompt_path=release_)


@pytest.fixture(scope="module")
def free(engine: MockEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path_factory.mktemp("free"), table(of(FREE, arm(engine)))) as running:
        yield running


@pytest.fixture(scope="module")
def labels(engine: MockEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path_factory.mktemp("labels"), table(of(LABELS, arm(engine)))) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True])
def test_what_only_engines_know_is_left_out_and_named_in_a_header(
    free: RunningGateway, engine: MockEngine, stream: bool
) -> None:
    odd = {"ignore_eos": True, "a\r\nset-cookie: x": 1, "store": True, "metadata": {"a": "b"}, "temperature": 0.5}
    status, headers, _ = free.post("/v1/chat/completions", chat(**odd, stream=stream, user="u"))
    assert status == 200
    assert headers["x-flyball-ignored"] == "ignore_eos, a??set-cookie??x" and "set-cookie" not in headers
    assert set(engine.bodies[-1]) - {"stream_options", "stream"} == {"model", "messages", "temperature"}
    assert "x-flyball-ignored" not in free.post("/v1/chat/completions", chat())[1]


def test_what_the_release_does_not_allow_is_a_400_that_names_it(free: RunningGateway, engine: MockEngine) -> None:
    before = len(engine.bodies)
    status, _, body = free.post("/v1/chat/completions", chat(tools=TOOLS))
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, "tools", "unsupported_parameter")
    assert "release.request_fields" in body["error"]["message"] and len(engine.bodies) == before
    assert free.requests()[-1].record.outcome == "refused"


def test_a_tool_call_cannot_be_had_of_labels_and_their_sampling_is_the_releases(
    labels: RunningGateway, engine: MockEngine
) -> None:
    for fields in ({"tools": TOOLS}, {"response_format": {"type": "json_object"}}, {"n": 3}, {"logprobs": True}):
        status, _, body = labels.post("/v1/chat/completions", chat(**fields))
        assert (status, body["error"]["param"]) == (400, *fields)
    status, headers, _ = labels.post("/v1/chat/completions", chat(max_tokens=5, temperature=1, n=1, tool_choice="none"))
    assert (status, headers["x-flyball-ignored"]) == (200, "max_tokens, temperature")
    assert engine.bodies[-1]["temperature"] == 0 and "max_tokens" not in engine.bodies[-1]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/completions"])
def test_a_wrong_endpoint_is_refused_at_the_door_and_counts_against_nobody(
    engine: MockEngine, tmp_path: Path, path: str
) -> None:
    arms = (of(FREE, arm(engine, weight=0.0)), of(LABELS, arm(engine, release=CANARY, variant="canary")))
    with RunningGateway(tmp_path, table(*arms)) as gateway:
        before = len(engine.bodies)
        status, _, body = gateway.post(path, {"model": "shop", "input": "x", "prompt": "x"})
        assert (status, body["error"]["code"]) == (400, "unsupported_endpoint")
        assert "answers /v1/chat/completions only" in body["error"]["message"]
        assert len(engine.bodies) == before and gateway.requests() == []


def test_a_server_elsewhere_goes_on_embedding_for_a_release_from_before(engine: MockEngine, tmp_path: Path) -> None:
    there = EngineSettings(kind="openai", context=512, slots=4, threads=1, flags={"url": engine.url})
    with RunningGateway(tmp_path, table(of(release(engine=there), arm(engine)))) as gateway:
        assert gateway.post("/v1/embeddings", {"model": "shop", "input": "x"})[0] == 200


def test_a_bare_upstream_gets_the_clients_own_bytes(tmp_path: Path) -> None:
    body = b'{ "model":"shop","big":12345678901234567890123,"float":1.50,"e":1E5,"z":{"b":1,\t"a":[ ]},"messages":[]'
    with MockEngine() as engine, RunningGateway(tmp_path, in_front_of(engine)) as gateway:
        plain, stream = body + b',"ignore_eos":true}', body + b',"stream":true}'
        assert gateway.post("/v1/chat/completions", plain)[0] == 200
        assert engine.raw[-1] == plain
        assert gateway.post("/v1/chat/completions", stream)[0] == 200
        for part in (b'"big":12345678901234567890123', b'"float":1.50', b'"e":1E5', b'{"b":1,\t"a":[ ]}'):
            assert part in engine.raw[-1]
        assert json.loads(engine.raw[-1])["stream_options"] == {"include_usage": True}


REPORTED = {  # what clients of other gateways sent, from public reports
    "a benchmark": {"ignore_eos": False, "max_tokens": 9},  # sgl-project/genai-bench 124
    "opencode": {"promptCacheKey": "ses_1", "prompt_cache_key": "ses_1"},  # anomalyco/opencode 4386
    "its messages": {"messages": [{"role": "user", "content": "hi", "agent": "cli"}]},  # anomalyco/opencode 43089
    "metadata": {"metadata": {"session_id": "x"}, "store": False},  # anomalyco/opencode 47496
    "an end user": {"user": "u-1"},  # router-for-me/CLIProxyAPI 1119
    "Open WebUI": {"num_ctx": 2048, "num_batch": 8, "num_gpu": 1, "num_thread": 2, "top_k": 5},  # open-webui 14926
    "a commit message": {"enable_thinking": False},  # sourcegit-scm/sourcegit 2318
    "Zed": {"tool_choice": "none", "parallel_tool_calls": False, "max_completion_tokens": 64},  # new-api 2763
    "LlamaIndex": {"parallel_tool_calls": True, "tools": [], "tool_choice": "auto"},  # run-llama/llama_index 20865
    "nulls": {"functions": None, "logit_bias": None, "stop": None, "seed": None},  # BerriAI/litellm 4584
    "an SDK's body": {"extra_body": {"min_p": 0.1}, "extra_headers": {}},
}
API = {"model", "messages", "stream", "stream_options", "temperature", "max_tokens", "max_completion_tokens", "grammar"}


@pytest.mark.parametrize("fields", REPORTED.values(), ids=REPORTED)
def test_what_breaks_elsewhere_is_answered_and_no_engine_has_to_refuse_it(
    free: RunningGateway, labels: RunningGateway, engine: MockEngine, fields: dict[str, object]
) -> None:
    for gateway in (free, labels):
        status, _, body = gateway.post("/v1/chat/completions", {**chat("hi"), **fields})
        assert status == 200, body
        assert engine.bodies[-1].keys() <= API
        assert all(message.keys() == {"role", "content"} for message in engine.bodies[-1]["messages"])


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\uDE00", rb"\ud83d x"])
def test_a_text_that_a_client_cut_within_an_emoji_is_answered(
    free: RunningGateway, engine: MockEngine, tmp_path: Path, half: bytes
) -> None:
    body = b'{"model":"shop","messages":[{"role":"user","content":"hi %b"}],"stream":%b}'
    assert free.post("/v1/chat/completions", body % (half, b"false"))[0] == 200
    assert engine.bodies[-1]["messages"][0]["content"].startswith("hi \ufffd")
    with MockEngine() as other, RunningGateway(tmp_path, in_front_of(other)) as gateway:
        assert gateway.post("/v1/chat/completions", body % (half, b"false"))[0] == 200
        assert other.raw[-1] == body % (half, b"false")
        assert gateway.post("/v1/chat/completions", body % (half, b"true"))[0] == 200
        assert other.bodies[-1]["messages"][0]["content"].startswith("hi \ufffd")
    for bad in (b'{"a":NaN,"b":"\\ud83d"}', b'{"a":"\\ud83d"', b'["\\ud83d"]', b'{"a":"\\ud8"}'):
        assert free.post("/v1/chat/completions", bad)[0] == 400
