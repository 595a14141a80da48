"""What a release says of its engine reaches it, by kind; what belongs to another kind is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from test_release_composition import composed

from flyball.errors import ConfigError, InputError
from flyball.records import Release, canonical_bytes, fingerprint, parse
from flyball.registry.config import EngineConfig, ReleaseConfig
from flyball.serving.vllm import vllm_command


def test_settings_of_an_engine_are_in_the_release_and_an_unset_one_changes_no_name() -> None:
    assert composed(ReleaseConfig(engine=EngineConfig(batch=2048))).engine.flags == {"batch": 2048}
    assert composed(ReleaseConfig()).engine.flags == {}
    vllm = composed(ReleaseConfig(engine=EngineConfig(kind="vllm", flags={"quantization": "fp8"}, slots=64)))
    assert (vllm.engine.kind, vllm.engine.slots, vllm.engine.flags) == ("vllm", 64, {"quantization": "fp8"})
    assert composed(ReleaseConfig(adapter="b" * 64)).adapter == "b" * 64
    there = EngineConfig(kind="openai", url="https://api.example.com", api_key="env:THERE", model="small")
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
        assert composed(ReleaseConfig(engine=EngineConfig(kind="openai", url=url))).engine.flags == flags
    with pytest.raises(InputError, match="user name or a password"):
        composed(ReleaseConfig(engine=EngineConfig(kind="openai", url="https://me:pw@x")))


def test_how_a_server_is_reached_is_no_release() -> None:
    more = {"headers": {"api-key": "env:K"}, "proxy": "http://p:1", "ca_file": "ca.pem"}
    plain, reached = (EngineConfig(kind="openai", url="http://x", **given) for given in ({}, more))
    assert fingerprint(composed(ReleaseConfig(engine=plain))) == fingerprint(composed(ReleaseConfig(engine=reached)))


def test_a_new_price_and_a_renamed_secret_are_no_new_release() -> None:
    for kind, more in (("llama.cpp", {}), ("vllm", {}), ("openai", {"url": "http://x"})):
        plain = composed(ReleaseConfig(engine=EngineConfig(kind=kind, **more)))
        priced = EngineConfig(kind=kind, usd_per_million=(0.15, 0.6), **more)
        assert fingerprint(composed(ReleaseConfig(engine=priced))) == fingerprint(plain)
    keys = [EngineConfig(kind="openai", url="http://x", api_key=key) for key in (None, "env:ONE", "file:two")]
    assert len({fingerprint(composed(ReleaseConfig(engine=key))) for key in keys}) == 1


def test_a_release_from_before_keeps_its_prices_and_tells_no_engine(tmp_path: Path) -> None:
    made = composed(ReleaseConfig(engine=EngineConfig(kind="vllm")))
    priced = replace(made, engine=replace(made.engine, flags={"usd_per_million": [0.15, 0.6]}))
    assert priced.engine.usd_per_million == (0.15, 0.6)
    assert parse(canonical_bytes(priced), Release) == priced
    command = vllm_command(priced, model=tmp_path, adapter=None, program=["vllm"])
    assert not any("usd" in part for part in command)


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (EngineConfig(flags={"quantization": "fp8"}), "flags are vLLM's"),
        (EngineConfig(kind="vllm", batch=2048), "max-num-batched-tokens"),
        (EngineConfig(kind="openai"), "there is no url"),
        (EngineConfig(headers={"api-key": "env:K"}), "names headers, a proxy or certificates"),
        (EngineConfig(model="small"), "release.engine.model is for a server elsewhere"),
        (EngineConfig(kind="vllm", url="http://x"), "release.engine.url is for a server elsewhere"),
    ],
)
def test_what_belongs_to_another_kind_is_refused(engine: EngineConfig, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(ReleaseConfig(engine=engine))
    assert said in str(caught.value)
