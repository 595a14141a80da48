"""A hard budget holds whatever a server says of its tokens: nothing, nonsense, or no end where the client has left."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from flyball.gateway.upstream.token_counts import TokenCounter
from flyball.security.principals import create_key
from flyball.standalone.config import StandaloneConfig, Upstream
from flyball.standalone.routes import front_routes
from flyball.storage.ledger import Ledger
from running_gateway import RunningGateway, chat, receive
from upstream_behaviours import BEHAVIOURS, ENDED, TEXT, WORDS, Behaviour, OddEngine, event, stream

BUDGET_USD = 0.05
PROMPT, COMPLETION = 20.0, 150.0
"""Dollars a million tokens: an answer of 13 tokens is worth 0.0021, and 64 tokens that are set aside 0.0098."""
MOST_TOKENS = 64
NAMES = (
    *("no usage", "usage null", "usage of nulls", "usage of zeros", "usage a lie", "a total alone", "reasoning alone"),
    *("a tool call without usage", "a legacy function call", "three choices without usage", "content parts"),
    *("many tokens an event", "a letter an event", "usage at the beginning alone", "reasoning_content", "a refusal"),
    *("two choices in an event", "a tool call at once, without usage"),
)
CASES = [case for case in BEHAVIOURS if case.name in NAMES and case.tokens is not None]
LEFT = stream("clients that leave", *map(event, WORDS), event(TEXT), ENDED, pause_s=0.01, tokens=(9, 13))


@pytest.fixture(scope="module")
def engine() -> Iterator[OddEngine]:
    with OddEngine() as running:
        yield running


@pytest.fixture(scope="module")
def keys(sqlite_ledger: Ledger) -> dict[str, str]:
    return {str(case): create_key(sqlite_ledger, name=str(case), budget_usd=BUDGET_USD)[1] for case in (*CASES, LEFT)}


@pytest.fixture(scope="module")
def gateway(
    engine: OddEngine, keys: dict[str, str], sqlite_ledger: Ledger, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    upstream = Upstream(url=engine.url, models=("shop",), usd_per_million={"shop": (PROMPT, COMPLETION)})
    routes = front_routes(StandaloneConfig(upstreams=(upstream,)), secrets={}.__getitem__)
    with RunningGateway(tmp_path_factory.mktemp("gateway"), routes, ledger=sqlite_ledger) as running:
        yield running


def worth(case: Behaviour) -> float:
    """What an answer costs by the tokens that it truly has."""
    assert case.tokens is not None
    return (case.tokens[0] * PROMPT + case.tokens[1] * COMPLETION) / 1e6


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_budget_stops_whoever_asks_a_server_that_does_not_count(
    gateway: RunningGateway, engine: OddEngine, keys: dict[str, str], case: Behaviour
) -> None:
    assert gateway.gateway is not None
    gateway.gateway.state.reckoner = TokenCounter()
    engine.odd = replace(case, pause_s=0.0)
    body = chat("Where is my parcel?", max_tokens=MOST_TOKENS, stream=case.kind == "stream", **(case.request or {}))
    spent = 0.0
    for _ in range(200):
        status, _, answer = gateway.post("/v1/chat/completions", body, authorization=f"Bearer {keys[str(case)]}")
        if status == 429:
            assert answer["error"]["code"] == "budget_exceeded"
            break
        assert status == 200
        spent += worth(case)
    else:
        pytest.fail(f"{spent:.2f} dollars were spent of {BUDGET_USD}")
    assert spent <= BUDGET_USD * (1 + case.within), "what an estimate may be wrong by, and nothing in flight"
    assert spent >= BUDGET_USD * 0.4, "and the budget can be used"


def test_clients_that_leave_in_the_middle_pay_for_what_was_said(
    gateway: RunningGateway, engine: OddEngine, keys: dict[str, str]
) -> None:
    engine.odd = LEFT
    body = json.dumps(chat("Where is my parcel?", max_tokens=MOST_TOKENS, stream=True)).encode()
    lines = f"host: x\r\nconnection: close\r\nauthorization: Bearer {keys[str(LEFT)]}\r\ncontent-length: {len(body)}"
    request = f"POST /v1/chat/completions HTTP/1.1\r\n{lines}\r\n\r\n".encode() + body
    before, refused = len(gateway.requests()), b""
    for number in range(200):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
            client.sendall(request)
            data = client.recv(65536)
            if data.startswith(b"HTTP/1.1 429"):
                refused = data + receive(client)
                break
            while data.count(b"data:") < 8:
                data += client.recv(65536)
        until = time.monotonic() + 5
        while len(gateway.requests()) <= before + number:
            assert time.monotonic() < until
            time.sleep(0.005)
    assert b"budget_exceeded" in refused
    records = [entry.record for entry in gateway.requests()[before:]]
    assert {record.outcome for record in records if record.status != 429} == {"aborted"}
    answered = [record for record in records if record.outcome == "aborted"]
    assert all(record.estimated and record.completion_tokens >= 7 for record in answered)
    assert BUDGET_USD * 0.5 <= sum(record.cost_usd for record in answered) <= BUDGET_USD
