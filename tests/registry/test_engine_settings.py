"""What a release says of its engine reaches it, by kind; what belongs to another kind is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_release_composition import composed

from flyball.engines.catalog import kind_of, stored_terms
from flyball.engines.llama_cpp import LlamaCppConfig
from flyball.engines.openai import OpenAIConfig
from flyball.engines.vllm import VllmConfig
from flyball.errors import ConfigError, InputError
from flyball.records import Release, canonical_bytes, fingerprint, parse
from flyball.registry.config import ReleaseConfig
from flyball.settings import parse_settings


def test_settings_of_an_engine_are_in_the_release_and_an_unset_one_changes_no_name() -> None:
    assert composed(ReleaseConfig(engine=LlamaCppConfig(batch=2048))).engine.flags == {"batch": 2048}
    assert composed(ReleaseConfig()).engine.flags == {}
    vllm = composed(ReleaseConfig(engine=VllmConfig(flags={"quantization": "fp8"}, slots=64)))
    assert (vllm.engine.kind, vllm.engine.slots, vllm.engine.flags) == ("vllm", 64, {"quantization": "fp8"})
    assert composed(ReleaseConfig(adapter="b" * 64)).adapter == "b" * 64
    there = OpenAIConfig(url="https://api.example.com", api_key="env:THERE", model="small")
    flags = {"url": "https://api.example.com", "model": "small"}
    assert composed(ReleaseConfig(engine=there)).engine.flags == flags


def test_a_url_that_ends_in_v1_stays_as_it_was_and_any_other_path_is_the_base() -> None:
    for url, flags in (
        ("https://x", {"url": "https://x"}),
        ("https://x/v1/", {"url": "https://x/v1/"}),
        ("https://x/before/v1", {"url": "https://x/before/v1"}),
        ("https://x/v1/chat/completions", {"url": "https://x"}),
        ("https://x/api/paas/v4/", {"url": "https://x/api/paas/v4", "exact": True}),
        ("https://x/deployments/g?api-version=1", {"url": "https://x/deployments/g?api-version=1", "exact": True}),
    ):
        assert composed(ReleaseConfig(engine=OpenAIConfig(url=url))).engine.flags == flags
    with pytest.raises(InputError, match="user name or a password"):
        composed(ReleaseConfig(engine=OpenAIConfig(url="https://me:pw@x")))


def test_how_a_server_is_reached_is_no_release() -> None:
    more = {"headers": {"api-key": "env:K"}, "proxy": "http://p:1", "ca_file": "ca.pem"}
    plain, reached = (OpenAIConfig(url="http://x", **given) for given in ({}, more))
    assert fingerprint(composed(ReleaseConfig(engine=plain))) == fingerprint(composed(ReleaseConfig(engine=reached)))


def test_a_new_price_and_a_renamed_secret_are_no_new_release() -> None:
    for kind, more in ((LlamaCppConfig, {}), (VllmConfig, {}), (OpenAIConfig, {"url": "http://x"})):
        plain = composed(ReleaseConfig(engine=kind(**more)))
        priced = kind(usd_per_million=(0.15, 0.6), **more)
        assert fingerprint(composed(ReleaseConfig(engine=priced))) == fingerprint(plain)
    keys = [OpenAIConfig(url="http://x", api_key=key) for key in (None, "env:ONE", "file:two")]
    assert len({fingerprint(composed(ReleaseConfig(engine=key))) for key in keys}) == 1


def test_a_release_from_before_keeps_its_prices_and_tells_no_engine(tmp_path: Path) -> None:
    made = composed(ReleaseConfig(engine=VllmConfig()))
    priced = replace(made, engine=replace(made.engine, flags={"usd_per_million": [0.15, 0.6]}))
    assert stored_terms(priced) == (None, (0.15, 0.6))
    assert parse(canonical_bytes(priced), Release) == priced
    command = kind_of(priced).started(priced, model=tmp_path, adapter=None, program=["vllm"]).command
    assert not any("usd" in part for part in command)


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"flags": {"quantization": "fp8"}}, "release.engine.flags is for kind vllm, release.engine.kind is llama.cpp"),
        ({"kind": "vllm", "batch": 2048}, "release.engine.batch is for kind llama.cpp, release.engine.kind is vllm"),
        ({"kind": "openai"}, "the key release.engine.url is missing"),
        ({"headers": {"api-key": "env:K"}}, "release.engine.headers is for kind openai"),
        ({"model": "small"}, "release.engine.model is for kind openai"),
        ({"kind": "vllm", "url": "http://x"}, "release.engine.url is for kind openai, release.engine.kind is vllm"),
        ({"kind": "vlm"}, "did you mean vllm?"),
        ({"kind": "vllm", "flag": {}}, "did you mean release.engine.flags?"),
        ({"batch": 8}, "release.engine.batch is 8, but should be a whole number >= 32"),
    ],
)
def test_what_belongs_to_another_kind_is_refused(engine: dict[str, object], said: str) -> None:
    document = {
        "version": 1,
        "project": "shop",
        "data": {"sources": [{"path": "rows.jsonl"}]},
        "release": {"engine": engine},
    }
    with pytest.raises(ConfigError) as caught:
        parse_settings(document)
    assert said in str(caught.value)
