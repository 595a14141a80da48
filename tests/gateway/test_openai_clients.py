"""The gateway as the real `openai` client sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from flyball import __version__
from mock_engine import WORDS, MockEngine
from running_gateway import LIVE, RunningGateway, arm, table

TEXT = "".join(WORDS)
ASK = {"model": "shop", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with MockEngine() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(engine: MockEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path_factory.mktemp("gateway"), table(arm(engine))) as running:
        yield running


@pytest.fixture(autouse=True)
def well(engine: MockEngine) -> None:
    engine.behaviour = "ok"


def test_a_plain_completion_carries_the_route_as_model_and_says_who_answered(gateway: RunningGateway) -> None:
    raw = gateway.client().chat.completions.with_raw_response.create(**ASK)
    answer = raw.parse()
    assert answer.choices[0].message.content == TEXT
    assert answer.model == "shop"
    assert raw.headers["x-flyball-release"] == LIVE
    assert raw.headers["x-flyball-variant"] == "live"
    assert raw.headers["x-flyball-request-id"] == gateway.requests()[-1].record.id


def test_a_stream_gives_every_word_and_no_token_count_that_was_not_asked_for(gateway: RunningGateway) -> None:
    chunks = list(gateway.client().chat.completions.create(**ASK, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert all(chunk.usage is None and chunk.choices and chunk.model == "shop" for chunk in chunks)
    record = gateway.requests()[-1].record
    assert (record.prompt_tokens, record.completion_tokens, record.outcome) == (11, len(WORDS), "ok")
    assert record.first_token_ms is not None and record.finish_reason == "stop"


def test_a_stream_gives_the_token_count_to_who_asks(gateway: RunningGateway) -> None:
    options = {"include_usage": True}
    chunks = list(gateway.client().chat.completions.create(**ASK, stream=True, stream_options=options))
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == len(WORDS)


@pytest.mark.parametrize("shape", ["bytes", "crlf", "never_ends"])
def test_a_stream_arrives_whole_however_the_engine_cuts_it_up(
    gateway: RunningGateway, engine: MockEngine, shape: str
) -> None:
    engine.behaviour = shape
    chunks = list(gateway.client().chat.completions.create(**ASK, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert gateway.requests()[-1].answer == TEXT


def test_the_async_client_streams_many_at_once(gateway: RunningGateway) -> None:
    async def one(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(**ASK, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def many() -> list[str]:
        async with openai.AsyncOpenAI(base_url=gateway.url, api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(one(client) for _ in range(40)))

    assert asyncio.run(many()) == [TEXT] * 40


def test_completions_embeddings_and_models_are_answered(gateway: RunningGateway) -> None:
    client = gateway.client()
    assert client.completions.create(model="shop", prompt="hello").choices[0].text == TEXT
    streamed = client.completions.create(model="shop", prompt="hello", stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == TEXT
    assert client.embeddings.create(model="shop", input="hello", encoding_format="float").data[0].embedding == [
        0.1,
        0.2,
    ]
    assert [model.id for model in client.models.list()] == ["shop"]
    assert client.models.retrieve("shop").id == "shop"


def test_tools_schemas_and_unknown_fields_reach_the_engine_and_tool_calls_come_back(
    gateway: RunningGateway, engine: MockEngine
) -> None:
    engine.behaviour = "tools"
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    extra = {"guided_choice": ["a"], "seed": 7, "n": 1, "stop": ["\n"], "logprobs": True}
    answer = gateway.client().chat.completions.create(**ASK, tools=tools, extra_body=extra)
    call = answer.choices[0].message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("look_up", '{"order": 1}')
    assert engine.bodies[-1]["tools"] == tools
    assert {key: engine.bodies[-1][key] for key in extra} == extra
    assert gateway.requests()[-1].choices[0]["tool_calls"][0]["name"] == "look_up"


def test_an_unknown_model_is_a_404_that_names_the_known_ones(gateway: RunningGateway) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        gateway.client().chat.completions.create(model="nobody", messages=ASK["messages"])
    assert caught.value.code == "model_not_found"
    assert "shop" in str(caught.value)


def test_unknown_paths_are_refused_and_never_forwarded(gateway: RunningGateway, engine: MockEngine) -> None:
    before = len(engine.bodies)
    for path in ("/v1/files", "/slots", "/v1/chat/completions/../slots", "//", "/v1//models", "http://x/v1/files"):
        status, _, body = gateway.get(path)
        assert status == 404 and body["error"]["code"] == "not_found", path
    assert gateway.post("/props", {})[0] == 404
    assert len(engine.bodies) == before


def test_the_wrong_method_is_a_405(gateway: RunningGateway) -> None:
    assert gateway.get("/v1/chat/completions")[0] == 405
    assert gateway.post("/v1/models", {})[0] == 405


def test_metrics_count_requests_by_outcome(gateway: RunningGateway) -> None:
    gateway.client().chat.completions.create(**ASK)
    status, headers, text = gateway.get("/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    assert b'flyball_gateway_requests_total{route="shop",release="111111111111",variant="live",outcome="ok"' in text
    assert b"flyball_gateway_request_seconds_bucket" in text
    assert b'flyball_gateway_build_info{version="%b",compiled="' % __version__.encode() in text


def test_health_and_readiness_are_told_apart(tmp_path: Path) -> None:
    with RunningGateway(tmp_path, table()) as empty:
        assert empty.get("/healthz")[0] == 200
        assert empty.get("/readyz")[0] == 503
