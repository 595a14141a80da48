"""What tokens cost: by two prices or four, a request's own first."""

from __future__ import annotations

import msgspec
import pytest

from flyball.cost.config import CostConfig
from flyball.cost.prices import highest_usd, request_usd
from flyball.records.prices import Prices, as_json, prices_of

CONFIG = CostConfig(prompt_usd_per_million=1.0, completion_usd_per_million=4.0)
FOUR = Prices(prompt=10.0, completion=40.0, cached=1.0, reasoning=60.0)
MANY = {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000}


def test_prices_of_the_request_come_before_those_of_cost() -> None:
    assert request_usd(CONFIG, **MANY) == 5.0
    assert request_usd(CONFIG, **MANY, own=(2.0, 3.0)) == 5.0
    assert request_usd(CONFIG, **MANY, own=FOUR) == 50.0


def test_cached_and_reasoning_tokens_have_prices_of_their_own() -> None:
    kinds = {"cached_tokens": 500_000, "reasoning_tokens": 250_000}
    assert request_usd(CONFIG, **MANY, **kinds) == 5.0, "without such a price they cost what the others do"
    assert request_usd(CONFIG, **MANY, **kinds, own=FOUR) == pytest.approx(5 + 0.5 + 30 + 15)
    cached = msgspec.structs.replace(CONFIG, cached_usd_per_million=0.5, reasoning_usd_per_million=8.0)
    assert request_usd(cached, **MANY, **kinds) == pytest.approx(0.5 + 0.25 + 3 + 2)
    assert request_usd(cached, **MANY, **kinds, own=(2.0, 3.0)) == 5.0, "two prices of its own are all its prices"


def test_more_cached_tokens_than_the_prompt_has_cost_no_less_than_all_of_it() -> None:
    own = Prices(prompt=1.0, completion=1.0, cached=0.0, reasoning=0.0)
    few = {"prompt_tokens": 10, "completion_tokens": 10}
    assert request_usd(CONFIG, **few, cached_tokens=99, reasoning_tokens=99, own=own) == 0.0


def test_a_budget_sets_aside_the_dearest_that_tokens_may_turn_out_to_be() -> None:
    assert highest_usd(CONFIG, **MANY, own=FOUR) == 70.0
    assert highest_usd(CONFIG, **MANY) == 5.0


def test_prices_are_read_from_two_numbers_or_by_name_and_written_the_same() -> None:
    assert prices_of([1, 2.5]) == (1.0, 2.5)
    for prices in ((1.0, 2.5), FOUR, Prices(prompt=1.0, completion=2.0)):
        assert prices_of(as_json(prices)) == prices
    for wrong in (None, [1], [1, 2, 3], "1", {"prompt": 1}, {"prompt": -1, "completion": 1}, {**as_json(FOUR), "x": 1}):
        assert prices_of(wrong) is None
    assert as_json(None) is None
