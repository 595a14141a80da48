"""Settings of prices and budgets."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class CostConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What things cost, in US dollars."""

    machine_usd_per_hour: Annotated[
        float, Meta(ge=0, description="Price of an hour of this machine: training, evaluation, idling.")
    ] = 0.10
    prompt_usd_per_million: Annotated[float, Meta(ge=0, description="Price of a million prompt tokens.")] = 0.05
    completion_usd_per_million: Annotated[float, Meta(ge=0, description="Price of a million completion tokens.")] = 0.20
    cached_usd_per_million: (
        Annotated[float, Meta(ge=0, description="Of prompt tokens that a server had in its cache; null: as prompt.")]
        | None
    ) = None
    reasoning_usd_per_million: (
        Annotated[float, Meta(ge=0, description="Of completion tokens that were thought; null: as completion.")] | None
    ) = None
