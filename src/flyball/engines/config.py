"""Settings that engines have in common, as flyball.yaml says them under `release.engine`; each kind adds its own."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from flyball.addresses import ReachConfig
from flyball.records.prices import UsdPerMillion

Context = Annotated[int, Meta(ge=32, description="Tokens per slot; null: the model's own.")] | None
Slots = Annotated[int, Meta(ge=1, description="Requests answered at once.")]
Threads = Annotated[int, Meta(ge=1, description="CPU threads of the engine.")]
OwnPrices = (
    Annotated[
        UsdPerMillion,
        Meta(
            description="Its own prices: [prompt, completion], or {prompt, completion, cached, reasoning}; "
            "null: those of cost."
        ),
    ]
    | None
)
SHARED = ("context", "slots", "threads", "usd_per_million")
"""What every kind has."""


class StartedConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """An engine that is started here."""

    context: Context = None
    slots: Slots = 4
    threads: Threads = 1
    usd_per_million: OwnPrices = None

    @property
    def kind(self) -> str:
        """The name of its kind."""
        return str(self.__struct_config__.tag)


class ServerConfig(ReachConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """A server elsewhere, which somebody else started."""

    url: Annotated[str, Meta(description="All that stands before /chat/completions; no path: /v1.")]
    api_key: Annotated[str | None, Meta(description="A reference such as env:NAME.")] = None
    model: Annotated[str | None, Meta(description="The name by which it knows the model.")] = None
    context: Context = None
    slots: Slots = 4
    threads: Threads = 1
    usd_per_million: OwnPrices = None

    @property
    def kind(self) -> str:
        """The name of its kind."""
        return str(self.__struct_config__.tag)


EngineConfig = StartedConfig | ServerConfig
