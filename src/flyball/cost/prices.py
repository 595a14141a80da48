"""What a request or a second of the machine costs, in US dollars."""

from __future__ import annotations

from flyball.cost.config import CostConfig
from flyball.records.prices import Prices, UsdPerMillion


def request_usd(
    config: CostConfig,
    *,
    prompt_tokens: int,
    completion_tokens: int,
    cached_tokens: int = 0,
    reasoning_tokens: int = 0,
    own: UsdPerMillion | None = None,
) -> float:
    """The price of one request by its tokens; `own` prices of a million tokens come first.

    Cached tokens are among the prompt's, reasoning tokens among the completion's.
    """
    prompt, completion, cached, reasoning = _each(config, own)
    usd = prompt_tokens * prompt + completion_tokens * completion
    if cached_tokens and cached is not None:
        usd += min(cached_tokens, prompt_tokens) * (cached - prompt)
    if reasoning_tokens and reasoning is not None:
        usd += min(reasoning_tokens, completion_tokens) * (reasoning - completion)
    return usd / 1e6


def highest_usd(
    config: CostConfig, *, prompt_tokens: int, completion_tokens: int, own: UsdPerMillion | None = None
) -> float:
    """The most that so many tokens may cost, whatever of them is cached or thought."""
    prompt, completion, cached, reasoning = _each(config, own)
    if cached is not None and cached > prompt:
        prompt = cached
    if reasoning is not None and reasoning > completion:
        completion = reasoning
    return (prompt_tokens * prompt + completion_tokens * completion) / 1e6


def machine_usd(config: CostConfig, seconds: float) -> float:
    """The price of the machine for a time."""
    return seconds * config.machine_usd_per_hour / 3600


def _each(config: CostConfig, own: UsdPerMillion | None) -> tuple[float, float, float | None, float | None]:
    """Of prompt, completion, cached and reasoning tokens; None for the two: as those that they are among."""
    if own is None:
        return (
            config.prompt_usd_per_million,
            config.completion_usd_per_million,
            config.cached_usd_per_million,
            config.reasoning_usd_per_million,
        )
    if isinstance(own, Prices):
        return own.prompt, own.completion, own.cached, own.reasoning
    return own[0], own[1], None, None
