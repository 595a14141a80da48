"""The one configuration file of a gateway without a project. I/O: that file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from flyball.cost.config import CostConfig
from flyball.errors import InputError
from flyball.gateway.config import GatewayConfig
from flyball.gateway.reloading import Source
from flyball.settings import parse, read_yaml


class FrontConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same keys as in flyball.yaml."""

    gateway: GatewayConfig = msgspec.field(default_factory=GatewayConfig)
    cost: CostConfig = msgspec.field(default_factory=CostConfig)
    models: tuple[str, ...] = ()


def read_config(path: Path | None) -> FrontConfig:
    """The configuration file, or the defaults."""
    if path is None:
        return FrontConfig()
    if not path.is_file():
        raise InputError(f"{path} is not a file", cure="give a YAML file with the keys of `gateway:`")
    return parse(read_yaml(path), FrontConfig, source=str(path))


def source_of(path: Path) -> Source:
    """The configuration file as something that a gateway reads again when it changes."""

    def read() -> tuple[GatewayConfig, CostConfig]:
        config = read_config(path)
        return config.gateway, config.cost

    return Source(path=path, read=read)
