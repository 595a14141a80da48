"""Whoever a request names is the person: for the seal of its texts, the arm, export and erasure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from flyball.compliance.erasure import erase, is_valid
from flyball.compliance.export import export_subject
from flyball.gateway.config import GatewayConfig
from flyball.gateway.recording.ingester import ingest_once
from flyball.storage import traffic
from flyball.storage.ledger import Ledger
from mock_engine import MockEngine
from running_gateway import CANARY, KEY, QUICK, RunningGateway, arm, chat, release, table

WIDE = msgspec.structs.replace(
    QUICK, subject_from=("header:X-End-User", "safety_identifier", "user", "metadata.user_id", "prompt_cache_key")
)


@pytest.fixture(scope="module")
def engine() -> Iterator[MockEngine]:
    with MockEngine() as running:
        yield running


def person(name: str) -> str:
    return KEY.hash("subject", name)


def asked(gateway: RunningGateway, body: dict[str, Any], **headers: str) -> str | None:
    assert gateway.post("/v1/chat/completions", body, **headers)[0] == 200
    return gateway.requests()[-1].record.subject


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"user": "C1"}, "C1"),
        ({"safety_identifier": "C2"}, "C2"),
        ({"user": "C1", "safety_identifier": "C2"}, "C2"),
        ({"user": "C1", "safety_identifier": ""}, "C1"),
        ({"user": "C1", "safety_identifier": None}, "C1"),
        ({"user": "null", "safety_identifier": "  "}, None),
        ({"user": " C1 "}, "C1"),
        ({"prompt_cache_key": "C3", "metadata": {"user_id": "C4"}}, None),
        ({}, None),
    ],
)
def test_safety_identifier_names_the_person_and_user_where_it_does_not(
    engine: MockEngine, tmp_path: Path, fields: dict[str, Any], named: str | None
) -> None:
    with RunningGateway(tmp_path, table(arm(engine)), config=QUICK) as gateway:
        assert asked(gateway, chat(**fields)) == (person(named) if named else None)


@pytest.mark.parametrize(
    ("fields", "headers", "named"),
    [
        ({"metadata": {"user_id": "C4"}}, {}, "C4"),
        ({"metadata": {"user_id": 42}}, {}, "42"),
        ({"metadata": {"user_id": 42.0}}, {}, "42"),
        ({"metadata": {"other": "C4"}, "prompt_cache_key": "C5"}, {}, "C5"),
        ({"metadata": ["user_id"], "prompt_cache_key": "C5"}, {}, "C5"),
        ({"user": "C1", "metadata": {"user_id": "C4"}}, {}, "C1"),
        ({"user": "C1"}, {"x_end_user": "C6"}, "C6"),
        ({"user": "C1"}, {"x_end_user": ""}, "C1"),
    ],
)
def test_other_places_name_the_person_where_the_settings_say_so(
    engine: MockEngine, tmp_path: Path, fields: dict[str, Any], headers: dict[str, str], named: str
) -> None:
    with RunningGateway(tmp_path, table(arm(engine)), config=WIDE) as gateway:
        assert asked(gateway, chat(**fields), **headers) == person(named)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"safety_identifier": 7}, "safety_identifier"),
        ({"safety_identifier": {"id": "C1"}}, "safety_identifier"),
        ({"user": ["C1"]}, "user"),
        ({"metadata": {"user_id": ["C1"]}}, "metadata.user_id"),
        ({"prompt_cache_key": "k" * 600}, "prompt_cache_key"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_for_nobody_could_erase_it(
    engine: MockEngine, tmp_path: Path, fields: dict[str, Any], param: str
) -> None:
    with RunningGateway(tmp_path, table(arm(engine)), config=WIDE) as gateway:
        status, _, body = gateway.post("/v1/chat/completions", chat(**fields))
    assert (status, body["error"]["param"]) == (400, param)


@pytest.mark.parametrize("place", ["name", "metadata.", "header:", "header:a b", "metadata", "metadata.a b"])
def test_a_place_that_there_is_not_is_refused_where_it_is_set(place: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"subject_from": [place]}, GatewayConfig)


@pytest.mark.parametrize("field", ["user", "safety_identifier"])
def test_a_person_stays_with_one_arm_is_exported_and_is_erased(
    engine: MockEngine, tmp_path: Path, ledger: Ledger, field: str
) -> None:
    arms = arm(engine, weight=0.5), arm(engine, release=CANARY, variant="canary", weight=0.5)
    with RunningGateway(tmp_path / "gateway", table(*arms), ledger=ledger, config=QUICK) as gateway:
        client = gateway.client()
        answers = [
            client.chat.completions.with_raw_response.create(**chat(f"my secret {n}"), **{field: "C0042"})
            for n in range(6)
        ]
        assert len({answer.headers["x-flyball-variant"] for answer in answers}) == 1
        ingest_once(gateway.ingest_context(ledger))
    held = export_subject(ledger, project_key=KEY, subject="C0042")
    assert str(held).count("my secret") == 6
    receipt = erase(ledger, project_key=KEY, subject="C0042")
    assert receipt.found is True and receipt.removed["traffic"]["payloads"] == 6
    assert "my secret" not in str(export_subject(ledger, project_key=KEY, subject="C0042"))
    assert is_valid(receipt, public_key=KEY.public_key)
    for entry in traffic.search_requests(ledger, limit=10):
        assert traffic.payload_of(ledger, entry.record.id) is None


def test_no_engine_of_ours_is_told_who_asks_and_other_servers_are(engine: MockEngine, tmp_path: Path) -> None:
    names = {"user": "C1", "safety_identifier": "C2"}
    own = msgspec.structs.replace(arm(engine), prompt_path=release())
    with RunningGateway(tmp_path / "own", table(own), config=QUICK) as gateway:
        gateway.post("/v1/chat/completions", chat(**names))
        assert not names.keys() & engine.bodies[-1].keys()
    with RunningGateway(tmp_path / "bare", table(arm(engine)), config=QUICK) as gateway:
        gateway.post("/v1/chat/completions", chat(**names))
        assert names.items() <= engine.bodies[-1].items()


def test_a_receipt_that_found_nothing_says_so_and_is_signed(ledger: Ledger) -> None:
    receipt = erase(ledger, project_key=KEY, subject="nobody")
    assert receipt.found is False and is_valid(receipt, public_key=KEY.public_key)
    assert erase(ledger, project_key=KEY, subject="nobody") == receipt


def test_openais_client_sends_it(engine: MockEngine, tmp_path: Path) -> None:
    with RunningGateway(tmp_path, table(arm(engine)), config=QUICK) as gateway:
        client: openai.OpenAI = gateway.client()
        client.chat.completions.create(**chat(), safety_identifier="C9")
        assert gateway.requests()[-1].record.subject == person("C9")
