"""The highest rate that holds is found, and so is the time that a server takes to come back."""

from __future__ import annotations

import asyncio

import pytest

from flyball.evaluation.load.saturation import Saturation, find_saturation, recovery_of
from flyball.evaluation.load.summary import Lag, LoadMeasure, Summary, Window


def summary(share: float, *, invalid: tuple[str, ...] = ()) -> Summary:
    good = LoadMeasure(name="goodput_share", value=share, lower=share, upper=share, n=100)
    return Summary(
        requests=100,
        answered=100,
        seconds=1.0,
        drained_s=1.0,
        sent_per_s=100.0,
        interrupted=False,
        invalid=invalid,
        notes=(),
        level=0.9,
        measures=(good,),
        itl_ms={},
        prompt_tokens=0,
        completion_tokens=0,
        errors={},
        examples={},
        statuses={},
        connections=1,
        lag=Lag(p50_ms=0.0, p99_ms=0.0, max_ms=0.0, cpu_share=0.1),
        windows=(),
        curves={},
    )


def search(limit: float, first: float, *, sender: float = 1e9) -> Saturation:
    async def run(rate: float) -> Summary:
        return summary(1.0 if rate <= limit else 0.5, invalid=("late",) if rate > sender else ())

    return asyncio.run(find_saturation(run, first_rate=first, share=0.99))


@pytest.mark.parametrize("first", [1.0, 10.0, 90.0, 5000.0])
def test_the_rate_is_found_to_a_tenth_from_above_and_from_below(first: float) -> None:
    found = search(137.0, first)
    assert found.limited_by == "server" and found.rate and found.first_too_high
    assert found.rate <= 137.0 < found.first_too_high <= 1.1 * found.rate + 1e-9


def test_where_the_sender_gives_out_first_that_is_said() -> None:
    found = search(1e9, 10.0, sender=300.0)
    assert found.limited_by == "sender" and found.rate == 160.0


def test_a_server_that_holds_no_rate_has_none() -> None:
    found = search(0.0, 10.0)
    assert found.rate is None and len(found.trials) == 16


def test_recovery_needs_three_good_windows_in_a_row() -> None:
    good = [1, 1, 0, 0, 1, 0, 1, 1, 1, 1]
    windows = [
        Window(
            at_s=float(at),
            sent_per_s=10.0,
            good_per_s=10.0 * hit,
            failed=0,
            e2e_p50_ms=1.0,
            e2e_p99_ms=1.0,
            ttft_p50_ms=1.0,
        )
        for at, hit in enumerate(good)
    ]
    assert recovery_of(windows, ended_s=3.0, share=0.99).recovered_s == 3.0
    assert recovery_of(windows[:8], ended_s=3.0, share=0.99).recovered_s is None
