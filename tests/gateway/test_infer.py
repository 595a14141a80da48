"""The Open Inference Protocol in front of a release that classifies: asked, guarded and recorded as a chat is."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mock_engine import WORDS, MockEngine
from running_gateway import CANARY, LIVE, RunningGateway, arm, release, table

LABEL = "".join(WORDS)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with MockEngine() as engine:
        classifier = msgspec.structs.replace(arm(engine), prompt_path=release())
        chat = msgspec.structs.replace(arm(engine, release=CANARY), prompt_path=replace(release(), task="chat"))
        routes = table(classifier)
        routes = msgspec.structs.replace(routes, routes=(*routes.routes, *table(chat, name="talk").routes))
        with RunningGateway(tmp_path_factory.mktemp("infer"), routes) as running:
            yield running


def infer(
    gateway: RunningGateway, body: Any, *, path: str = "shop/infer", method: str = "POST"
) -> tuple[int, Any, Any]:
    url = f"http://127.0.0.1:{gateway.port}/v2/models/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode() if method == "POST" else None, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), error.headers


def text(words: Any, **more: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [[words]], **more}]}


def test_a_text_goes_in_and_a_label_comes_out_with_the_record_of_a_chat(gateway: RunningGateway) -> None:
    status, answer, headers = infer(gateway, {**text("my car"), "id": "7", "parameters": {"user": "ann"}})
    assert (status, headers["x-flyball-release"]) == (200, LIVE)
    output = {"name": "label", "datatype": "BYTES", "shape": [1, 1], "data": [LABEL]}
    assert answer == {"model_name": "shop", "outputs": [output], "id": "7"}
    entry = gateway.requests()[-1]
    assert entry.record.id == headers["x-flyball-request-id"] and entry.record.outcome == "ok"
    assert entry.record.subject is not None
    assert [message["content"] for message in entry.messages] == ["my car"]


@pytest.mark.parametrize(
    ("body", "path", "status", "says"),
    [
        ({"inputs": []}, "shop/infer", 400, "give one input"),
        (text("a", datatype="FP32"), "shop/infer", 400, "'FP32': a text is BYTES"),
        (text("a", shape=[2]), "shop/infer", 400, "one text a request"),
        (text(3), "shop/infer", 400, "not one text"),
        (text("a"), "talk/infer", 400, "'talk' is no classifier"),
        (text("a"), "till/infer", 404, "'till' does not exist"),
        (text("a"), "shop/versions/2/infer", 404, "a route has no versions"),
        ([], "shop/infer", 400, "not a JSON object"),
    ],
)
def test_what_cannot_be_answered_is_told_in_the_protocols_own_form(
    gateway: RunningGateway, body: Any, path: str, status: int, says: str
) -> None:
    before = len(gateway.requests())
    found = infer(gateway, body, path=path)
    assert found[0] == status and found[1].keys() == {"error"} and says in found[1]["error"]
    assert len(gateway.requests()) == before


def test_only_post_is_answered(gateway: RunningGateway) -> None:
    status, _, headers = infer(gateway, None, method="GET")
    assert (status, headers["allow"]) == (405, "POST")


def test_a_failing_engine_is_told_in_the_protocols_own_form(tmp_path: Path) -> None:
    with MockEngine() as engine:
        routes = table(msgspec.structs.replace(arm(engine), prompt_path=release()))
    with RunningGateway(tmp_path, routes) as gateway:
        status, answer, _ = infer(gateway, text("a"))
        assert status in (502, 503) and isinstance(answer["error"], str)
