"""Through the gateway a client reads what it reads directly, and the record says what was said and what it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from flyball.gateway.recording.segment_format import RequestEntry
from flyball.gateway.upstream.token_counts import TokenCounter
from running_gateway import RunningGateway, in_front_of
from upstream_behaviours import BEHAVIOURS, ENGINE_MODEL, Behaviour, OddEngine

QUESTION = "Where is my parcel?"


@pytest.fixture(scope="module")
def engine() -> Iterator[OddEngine]:
    with OddEngine() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(engine: OddEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path_factory.mktemp("gateway"), in_front_of(engine)) as running:
        yield running


def read(url: str, case: Behaviour) -> Any:
    """All that an `openai` client reads, or the kind of its error, with the model's name as the engine says it."""
    asked: dict[str, Any] = {"model": "shop", **(case.request or {})}
    if case.kind == "stream":
        asked = {"stream": True, "stream_options": {"include_usage": True}, **asked}
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=10) as client:
        try:
            if case.api == "embedding":
                found: Any = client.embeddings.create(input=QUESTION, encoding_format="float", **asked)
            elif case.api == "completion":
                found = client.completions.create(prompt=QUESTION, **asked)
            else:
                found = client.chat.completions.create(messages=[{"role": "user", "content": QUESTION}], **asked)
            if case.kind == "stream":
                return [renamed(part) for part in found]
            return renamed(found)
        except openai.APIStatusError as error:
            return type(error).__name__, error.status_code
        except openai.APIError as error:
            return type(error).__name__, str(error)
        except (httpx.HTTPError, ValueError) as error:
            return type(error).__name__


def renamed(found: Any) -> Any:
    document = found.model_dump(warnings=False) if hasattr(found, "model_dump") else found
    if isinstance(document, dict) and document.get("model") == "shop":
        document["model"] = ENGINE_MODEL
    return document


def recorded(gateway: RunningGateway, number: int) -> RequestEntry:
    until = time.monotonic() + 5
    while len(found := gateway.requests()) <= number:
        assert time.monotonic() < until, "no record"
        time.sleep(0.01)
    return found[-1]


@pytest.mark.parametrize("case", BEHAVIOURS, ids=str)
def test_a_client_reads_the_same_and_the_record_is_right(
    gateway: RunningGateway, engine: OddEngine, case: Behaviour
) -> None:
    assert gateway.gateway is not None
    gateway.gateway.state.reckoner = TokenCounter()  # what one server teaches is nothing to another
    engine.odd = case
    direct = read(f"{engine.url}/v1", case)
    before, asked = len(gateway.requests()), len(engine.bodies)
    through = read(gateway.url, case)
    if case.attempts is not None:
        assert len(engine.bodies) - asked == case.attempts
    if case.same:
        assert through == direct
    if case.status is not None:
        assert isinstance(through, tuple) and through[1] == case.status
    entry = recorded(gateway, before)
    record = entry.record
    gave_up = isinstance(through, str)  # the client cannot read it, and may hang up before the end
    if gave_up and record.outcome == "aborted":
        return
    assert record.outcome == case.outcome
    if case.said is not None:
        assert entry.answer == case.said
    if case.estimated is not None:
        assert record.estimated is case.estimated
    if case.tokens is not None:
        found = (record.prompt_tokens, record.completion_tokens)
        assert found == pytest.approx(case.tokens, rel=case.within)
    after = gateway.get("/readyz")
    assert case.outcome != "ok" or after[0] == 200
