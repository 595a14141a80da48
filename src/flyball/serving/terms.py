"""What asking an engine takes besides its release: the key of a server elsewhere, and prices. Pure.

Neither decides an answer, so neither is in a release's fingerprint: a new price or a renamed secret takes effect at
once, without a build or a gate. flyball.yaml says them for the server that it names, and for the release that was built
last; any other release keeps what was recorded beside it when it was built. Releases from before that have both in
their flags, which count where neither of the two says anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from flyball.addresses import Reach, normal, reach_of
from flyball.engines.catalog import kind_of, stored_terms
from flyball.engines.config import EngineConfig, ServerConfig
from flyball.errors import InputError
from flyball.inference.http_client import ServerAccess as ServerAccess
from flyball.records import JSON, Release
from flyball.records.prices import UsdPerMillion, as_json, prices_of

RECORDED = "engine"
"""Under this name they are recorded beside a release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """A reference to a secret such as env:NAME, never the secret itself; prices of a million tokens in and out."""

    api_key: str | None = None
    usd_per_million: UsdPerMillion | None = None
    reach: Reach | None = None  # headers, proxy and certificates of a server elsewhere

    def way(self, secrets: Callable[[str], str] | None, proxy_for: Callable[[str], str | None] | None) -> ServerAccess:
        """What asks that server is given; without `secrets` no key goes along."""
        key = self.api_key if secrets else None
        return ServerAccess(api_key=key, reach=self.reach, secrets=secrets, proxy_for=proxy_for)


def recorded_terms(config: EngineConfig) -> dict[str, JSON]:
    """What is recorded beside a release that is built from these settings."""
    prices = config.usd_per_million
    key = config.api_key if isinstance(config, ServerConfig) else None
    found: dict[str, JSON] = {"api_key": key, "usd_per_million": as_json(prices)}
    if (reach := _reach(config)) is not None:
        found["reach"] = msgspec.to_builtins(reach)
    return {RECORDED: found}


def terms_of(
    release: Release, *, recorded: Mapping[str, Any], settings: EngineConfig | None, built_last: bool = False
) -> Terms:
    """The terms of a release: of flyball.yaml where it speaks of this one, else those beside it, else its flags'."""
    key, own = stored_terms(release)
    flags = Terms(api_key=key, usd_per_million=own)
    beside = recorded.get(RECORDED)
    kept = flags
    if isinstance(beside, Mapping):
        kept = Terms(
            api_key=_text(beside.get("api_key")),
            usd_per_million=prices_of(beside.get("usd_per_million")),
            reach=msgspec.convert(beside["reach"], Reach) if beside.get("reach") else None,
        )
    if settings is None or settings.kind != release.engine.kind:
        return kept
    older = None if isinstance(beside, Mapping) else flags  # a key that was taken out of flyball.yaml is out
    if not isinstance(settings, ServerConfig):
        if not built_last:
            return kept
        return Terms(usd_per_million=settings.usd_per_million or (older.usd_per_million if older else None))
    there = kind_of(release).server(release.engine)
    if _server_of(settings) != (there.url, there.exact):
        return kept
    reach = _reach(settings)
    api_key = settings.api_key or (older.api_key if older else None)
    if settings.model and settings.model != there.model:  # without one: all that it serves
        return Terms(api_key=api_key, usd_per_million=kept.usd_per_million, reach=reach)
    prices = settings.usd_per_million or (older.usd_per_million if older else None)
    return Terms(api_key=api_key, usd_per_million=prices, reach=reach)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _reach(config: EngineConfig) -> Reach | None:
    return reach_of(config, source="release.engine") if isinstance(config, ServerConfig) else None


def _server_of(config: ServerConfig) -> tuple[str, bool] | None:
    try:
        return normal(config.url)
    except InputError:
        return None
