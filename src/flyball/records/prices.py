"""Prices of a million tokens in US dollars: two numbers, or by name where cached or reasoning tokens have their own."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Price = Annotated[float, Meta(ge=0)]


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of a million tokens in US dollars."""

    prompt: Annotated[Price, Meta(description="Of prompt tokens.")]
    completion: Annotated[Price, Meta(description="Of completion tokens.")]
    cached: (
        Annotated[Price, Meta(description="Of prompt tokens that the server had in a cache; null: as prompt.")] | None
    ) = None
    reasoning: (
        Annotated[Price, Meta(description="Of completion tokens that were thought; null: as completion.")] | None
    ) = None


UsdPerMillion = tuple[Price, Price] | Prices
"""Of prompt and completion tokens, or all four by name."""


def prices_of(value: object) -> UsdPerMillion | None:
    """The prices in a JSON value; None for anything else."""
    match value:
        case [int() | float() as prompt, int() | float() as completion]:
            return float(prompt), float(completion)
        case dict():
            try:
                return msgspec.convert(value, Prices)
            except msgspec.ValidationError:
                return None
        case _:
            return None


def as_json(prices: UsdPerMillion | None) -> Any:
    """Prices as a JSON value, which `prices_of` reads."""
    if prices is None:
        return None
    return msgspec.to_builtins(prices) if isinstance(prices, Prices) else list(prices)
