"""What a request or a second of the machine costs, in US dollars."""

from __future__ import annotations

from flyball.cost.config import CostConfig


def request_usd(
    config: CostConfig, *, prompt_tokens: int, completion_tokens: int, own: tuple[float, float] | None = None
) -> float:
    """The price of one request by its tokens; `own` prices of a million prompt and completion tokens come first."""
    prompt, completion = own or (config.prompt_usd_per_million, config.completion_usd_per_million)
    return (prompt_tokens * prompt + completion_tokens * completion) / 1e6


def machine_usd(config: CostConfig, seconds: float) -> float:
    """The price of the machine for a time."""
    return seconds * config.machine_usd_per_hour / 3600
