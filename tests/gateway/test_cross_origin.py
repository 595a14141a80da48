"""Pages in browsers call the gateway where a setting allows them: preflight, answers, streams and errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from flyball.gateway.config import GatewayConfig
from flyball.gateway.http.cors import EXPOSED
from flyball.security.principals import create_key
from flyball.storage.ledger import Ledger
from mock_engine import MockEngine
from running_gateway import QUICK, RunningGateway, arm, chat, head_of, table

PAGE, OTHER = "https://app.example", "https://other.example"
ASKS = {
    "origin": PAGE,
    "access_control_request_method": "POST",
    "access_control_request_headers": "authorization,content-type,x-flyball-conversation,x-stainless-lang",
}
SOURCE = Path(__file__).parents[2] / "src" / "flyball" / "gateway"


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with MockEngine() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(engine: MockEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    config = msgspec.structs.replace(
        QUICK, cors_origins=(f"{PAGE}/", "chrome-extension://abc", "app://obsidian.md"), max_body_bytes=2048
    )
    with RunningGateway(tmp_path_factory.mktemp("gateway"), table(arm(engine)), config=config) as running:
        yield running


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/v1/models/org%2Fname", "/v1/feedback"])
def test_a_browser_that_asks_first_is_told_what_it_may_send(gateway: RunningGateway, path: str) -> None:
    status, headers, _ = gateway.options(path, **ASKS)
    assert status == 204 and "content-length" not in headers
    assert headers["access-control-allow-origin"] == PAGE and headers["vary"] == "origin"
    assert headers["access-control-allow-headers"] == ASKS["access_control_request_headers"]
    assert "POST" in headers["access-control-allow-methods"] and int(headers["access-control-max-age"]) > 0
    assert "access-control-allow-private-network" not in headers
    private = gateway.options(path, **ASKS, access_control_request_private_network="true")[1]
    assert private["access-control-allow-private-network"] == "true"


def test_a_preflight_leaves_its_connection_open_for_the_request(gateway: RunningGateway) -> None:
    body = msgspec.json.encode(chat())
    first = head_of("OPTIONS", "/v1/chat/completions", {**ASKS, "connection": "keep-alive"})
    then = head_of("POST", "/v1/chat/completions", {"origin": PAGE, "content-length": str(len(body))}) + body
    answer = gateway.raw(first + then)
    assert answer.startswith(b"HTTP/1.1 204 ") and b"\r\n\r\nHTTP/1.1 200 " in answer


def test_what_a_header_is_called_cannot_carry_anything_else(gateway: RunningGateway) -> None:
    asks = {**ASKS, "access_control_request_headers": "x-a: b; <script>"}
    assert gateway.options("/v1/models", **asks)[1]["access-control-allow-headers"].startswith("authorization, content")


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_may_be_read_by_the_page_with_what_it_says_of_itself(gateway: RunningGateway, stream: bool) -> None:
    status, headers, _ = gateway.post("/v1/chat/completions", chat(stream=stream), origin=PAGE)
    assert status == 200 and headers["access-control-allow-origin"] == PAGE
    exposed = headers["access-control-expose-headers"].split(", ")
    assert {"x-flyball-request-id", "x-request-id", "retry-after"} <= set(exposed)


def test_errors_may_be_read_too(gateway: RunningGateway) -> None:
    big = b"x" * 4000
    answers = [
        gateway.post("/v1/chat/completions", b"{", origin=PAGE),
        gateway.post("/v1/chat/completions", chat(model="unknown"), origin=PAGE),
        gateway.post("/v1/chat/completions", big, origin=PAGE),
        gateway.get("/nowhere", origin=PAGE),
        gateway.get("/v1/chat/completions", origin=PAGE),
    ]
    assert [status for status, _, _ in answers] == [400, 404, 413, 404, 405]
    assert all(headers["access-control-allow-origin"] == PAGE for _, headers, _ in answers)


def test_a_page_that_is_not_named_may_neither_ask_nor_read(gateway: RunningGateway) -> None:
    for origin in (OTHER, "null", f"{PAGE}.evil.example", "http://app.example", f"{PAGE}:8443"):
        assert gateway.options("/v1/models", **{**ASKS, "origin": origin})[0] == 403
        status, headers, _ = gateway.get("/v1/models", origin=origin)
        assert status == 403 and "access-control-allow-origin" not in headers


def test_an_extension_and_an_origin_written_otherwise_are_known(gateway: RunningGateway) -> None:
    for origin in ("chrome-extension://abc", "app://obsidian.md", PAGE.upper()):
        assert gateway.get("/v1/models", origin=origin)[1]["access-control-allow-origin"] == origin


def test_without_the_setting_nothing_changes(engine: MockEngine, tmp_path: Path) -> None:
    with RunningGateway(tmp_path, table(arm(engine)), config=QUICK) as plain:
        status, _, body = plain.options("/v1/chat/completions", **ASKS)
        assert status == 405 and "gateway.cors_origins" in body["error"]["message"]
        assert plain.get("/v1/models", origin=PAGE)[0] == 403
        status, headers, _ = plain.post("/v1/chat/completions", chat(), origin="http://localhost:3000")
        assert status == 200 and not any(name.startswith("access-control") or name == "vary" for name in headers)


def test_any_page_may_call_with_a_key_and_none_without(engine: MockEngine, tmp_path: Path, ledger: Ledger) -> None:
    config = msgspec.structs.replace(QUICK, cors_origins=("*",))
    with RunningGateway(tmp_path / "a", table(arm(engine)), config=config, ledger=ledger) as running:
        assert running.get("/v1/models", origin=PAGE)[0] == 403, "everybody's page would act as who sits here"
        assert running.get("/v1/models", origin=PAGE)[1]["access-control-allow-origin"] == "*"
    _, secret = create_key(ledger, name="app")
    with RunningGateway(tmp_path / "b", table(arm(engine)), config=config, ledger=ledger) as running:
        assert running.options("/v1/models", **ASKS)[0] == 204, "a preflight brings no key"
        assert running.get("/v1/models", origin=PAGE)[0] == 401
        assert running.get("/v1/models", origin=PAGE, authorization=f"Bearer {secret}")[0] == 200


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/path", "https://user@app.example", "", "**"])
def test_what_is_no_origin_is_refused_where_it_is_set(origin: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"cors_origins": [origin]}, GatewayConfig)


def test_every_header_of_ours_may_be_read_by_a_page() -> None:
    sent = {
        name
        for file in SOURCE.glob("*.py")
        for name in re.findall(r'"(x-flyball-[a-z-]+)(?:: |")', file.read_text(encoding="utf-8"))
    }
    asked = {"x-flyball-client-id", "x-flyball-conversation"}
    assert sent - asked <= set(EXPOSED)


def test_a_star_shows_no_page_of_elsewhere_what_tells_of_all_routes(engine: MockEngine, tmp_path: Path) -> None:
    config = msgspec.structs.replace(QUICK, cors_origins=("*",))
    with RunningGateway(tmp_path, table(arm(engine)), config=config) as gateway:
        assert gateway.get("/metrics", origin=OTHER)[0] == 403
        assert gateway.get("/metrics", origin="null")[0] == 403
        assert gateway.get("/metrics")[0] == gateway.get("/metrics", origin="http://localhost:3000")[0] == 200
