"""Which key and which prices count for a release: what flyball.yaml says of it, what was recorded, its own flags."""

from __future__ import annotations

import pytest

from flyball.addresses import Reach
from flyball.engines.config import EngineConfig
from flyball.engines.llama_cpp import LlamaCppConfig
from flyball.engines.openai import OpenAIConfig
from flyball.serving.terms import Terms, recorded_terms, terms_of
from tiny_gguf import tiny_release

URL = "https://there/v1"
OLD_FLAGS = {"url": URL, "model": "small", "api_key": "env:OLD", "usd_per_million": [1, 2]}
OLD = tiny_release(kind="openai", flags=OLD_FLAGS)
NEW = tiny_release(kind="openai", flags={"url": URL, "model": "small"})
OWN, OWN_OLD = tiny_release(), tiny_release(flags={"usd_per_million": [1, 2]})


def there(**more: object) -> EngineConfig:
    return OpenAIConfig(**{"url": URL, "model": "small", **more})  # type: ignore[arg-type]


BESIDE = recorded_terms(there(api_key="env:THEN", usd_per_million=(3.0, 4.0)))


def test_settings_win_at_the_server_that_they_name_for_old_releases_too() -> None:
    now = there(url="https://there/", api_key="env:NOW", usd_per_million=(5.0, 6.0))
    for release, recorded in ((OLD, {}), (NEW, BESIDE), (NEW, {})):
        assert terms_of(release, recorded=recorded, settings=now) == Terms(
            api_key="env:NOW", usd_per_million=(5.0, 6.0)
        )


def test_what_was_taken_out_of_the_settings_is_out_but_an_old_release_has_its_flags() -> None:
    assert terms_of(NEW, recorded=BESIDE, settings=there()) == Terms()
    assert terms_of(OLD, recorded={}, settings=there()) == Terms(api_key="env:OLD", usd_per_million=(1.0, 2.0))


@pytest.mark.parametrize("settings", [None, LlamaCppConfig(), there(url="https://elsewhere", api_key="env:ELSEWHERE")])
def test_a_key_never_goes_to_another_server(settings: EngineConfig | None) -> None:
    assert terms_of(NEW, recorded=BESIDE, settings=settings) == Terms(api_key="env:THEN", usd_per_million=(3.0, 4.0))
    assert terms_of(OLD, recorded={}, settings=settings).api_key == "env:OLD"
    assert terms_of(NEW, recorded={}, settings=settings) == Terms()


def test_another_model_of_one_server_has_its_key_and_not_its_price() -> None:
    now = there(model="large", api_key="env:NOW", usd_per_million=(50.0, 60.0))
    assert terms_of(NEW, recorded=BESIDE, settings=now) == Terms(api_key="env:NOW", usd_per_million=(3.0, 4.0))


def test_of_engines_of_our_own_the_release_that_was_built_last_has_the_price_of_the_settings() -> None:
    now, then = LlamaCppConfig(usd_per_million=(5.0, 6.0)), recorded_terms(LlamaCppConfig(usd_per_million=(3.0, 4.0)))
    for release, recorded, kept in ((OWN, then, (3.0, 4.0)), (OWN, {}, None), (OWN_OLD, {}, (1.0, 2.0))):
        assert terms_of(release, recorded=recorded, settings=now, built_last=True).usd_per_million == (5.0, 6.0)
        assert terms_of(release, recorded=recorded, settings=now).usd_per_million == kept
    assert terms_of(OWN, recorded=then, settings=LlamaCppConfig(), built_last=True) == Terms()


def test_how_a_server_is_reached_follows_the_settings_and_is_kept_beside_the_release() -> None:
    then, now = there(headers={"api-key": "env:THEN"}), there(headers={"API-Key": "env:NOW"}, proxy="none")
    kept = terms_of(NEW, recorded=recorded_terms(then), settings=None).reach
    assert kept == Reach(headers=(("api-key", "env:THEN"),))
    assert terms_of(NEW, recorded=recorded_terms(then), settings=now).reach == Reach(
        headers=(("api-key", "env:NOW"),), proxy="none"
    )
    assert terms_of(NEW, recorded=recorded_terms(then), settings=there(url="https://elsewhere")).reach == kept
    assert "reach" not in recorded_terms(there())["engine"]  # type: ignore[operator]


def test_a_base_is_another_server_than_the_same_words_before_v1() -> None:
    exact = tiny_release(kind="openai", flags={"url": "https://there/api", "exact": True, "model": "small"})
    older = tiny_release(kind="openai", flags={"url": "https://there/api", "model": "small"})
    now = there(url="https://there/api", api_key="env:NOW")
    assert terms_of(exact, recorded={}, settings=now).api_key == "env:NOW"
    assert terms_of(older, recorded={}, settings=now).api_key is None
    assert (
        terms_of(older, recorded={}, settings=there(url="https://there/api/v1", api_key="env:V1")).api_key == "env:V1"
    )
