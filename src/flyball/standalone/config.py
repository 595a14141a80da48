"""The one configuration file of a gateway without a project. I/O: that file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from flyball.addresses import ReachConfig
from flyball.cost.config import CostConfig
from flyball.errors import InputError
from flyball.gateway.config import GatewayConfig
from flyball.gateway.settings_reload import Source
from flyball.records.prices import UsdPerMillion
from flyball.settings import parse, read_yaml


class Upstream(ReachConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An OpenAI-compatible server."""

    url: Annotated[str, Meta(description="All that stands before /chat/completions; /v1 where it has no path.")]
    key: Annotated[str | None, Meta(description="A reference to its key, such as env:OPENAI_API_KEY.")] = None
    models: Annotated[
        tuple[str, ...] | dict[str, str],
        Meta(description="Those that it has, by clients' name; as a mapping, to the names that it calls them by."),
    ] = ()
    usd_per_million: Annotated[
        dict[str, UsdPerMillion],
        Meta(
            description="By clients' name of a model: [prompt, completion] or {prompt, completion, cached, reasoning}; "
            "else those of `cost`."
        ),
    ] = msgspec.field(default_factory=dict)
    slots: Annotated[int, Meta(ge=1, description="Requests at once, per worker.")] = 64


class StandaloneConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`gateway` and `cost` are the same as in flyball.yaml."""

    upstreams: Annotated[tuple[Upstream, ...], Meta(description="OpenAI-compatible servers, asked in this order.")] = ()
    models: Annotated[tuple[str, ...], Meta(description="Those of every upstream that names none itself.")] = ()
    gateway: GatewayConfig = msgspec.field(default_factory=GatewayConfig)
    cost: CostConfig = msgspec.field(default_factory=CostConfig)


def read_config(path: Path | None) -> StandaloneConfig:
    """The configuration file, or the defaults."""
    if path is None:
        return StandaloneConfig()
    if not path.is_file():
        raise InputError(f"{path} is not a file", cure="give a YAML file with upstreams: and gateway:")
    return parse(read_yaml(path), StandaloneConfig, source=str(path))


def source_of(path: Path) -> Source:
    """The configuration file as something that a gateway reads again when it changes."""

    def read() -> tuple[GatewayConfig, CostConfig]:
        config = read_config(path)
        return config.gateway, config.cost

    return Source(path=path, read=read)
