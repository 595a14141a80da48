"""What a request or a second of the machine costs, in US dollars."""

from __future__ import annotations

from flyball.cost.config import CostConfig


def request_usd(config: CostConfig, *, prompt_tokens: int, completion_tokens: int) -> float:
    """The price of one request by its tokens."""
    prompt = prompt_tokens * config.prompt_usd_per_million
    completion = completion_tokens * config.completion_usd_per_million
    return (prompt + completion) / 1e6


def machine_usd(config: CostConfig, seconds: float) -> float:
    """The price of the machine for a time."""
    return seconds * config.machine_usd_per_hour / 3600
