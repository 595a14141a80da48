"""How much a server can take: the highest rate that it serves well, and how it comes back from too much."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from flyball.evaluation.load.summary import Summary, Window

PRECISION = 1.1
MOST_TRIALS = 16
FEWEST_PER_TRIAL = 20
IN_A_ROW = 3


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One rate, what share of its requests was good, and the median and the slowest hundredth in milliseconds."""

    rate: float
    held: bool
    goodput_share: float | None
    lower: float | None
    upper: float | None
    requests: int
    e2e_p50_ms: float | None
    e2e_p99_ms: float | None


class Saturation(msgspec.Struct, frozen=True, kw_only=True):
    """The highest rate at which at least `share` was good; None: there was none."""

    share: float
    rate: float | None
    first_too_high: float | None
    limited_by: str  # server, sender, trials, interruption
    trials: tuple[Trial, ...]


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """How long after the end of an overload answers were good again; None: not within the run."""

    share: float
    overload_ended_s: float
    recovered_s: float | None


async def find_saturation(run: Callable[[float], Awaitable[Summary]], *, first_rate: float, share: float) -> Saturation:
    """Double the rate while it holds (halve it while it does not), then bisect to a tenth.

    A trial holds when its share of good requests reaches `share`. The search ends where the sender is what fails.
    """
    trials: list[Trial] = []
    held: float | None = None
    broke: float | None = None
    rate, limited_by = first_rate, "trials"
    while len(trials) < MOST_TRIALS:
        summary = await run(rate)
        if summary.interrupted:
            limited_by = "interruption"
            break
        if summary.invalid:
            limited_by = "sender"
            break
        trials.append(trial_of(summary, rate, share))
        if trials[-1].held:
            held = rate
        else:
            broke = rate
        if held and broke and broke / held <= PRECISION:
            limited_by = "server"
            break
        rate = (held * broke) ** 0.5 if held and broke else rate * 2.0 if held else rate / 2.0
    return Saturation(share=share, rate=held, first_too_high=broke, limited_by=limited_by, trials=tuple(trials))


def trial_of(summary: Summary, rate: float, share: float) -> Trial:
    """What one run says of its rate."""
    good, median, slow = (summary.measured(name) for name in ("goodput_share", "e2e_p50_ms", "e2e_p99_ms"))
    value = good.value if good else None
    return Trial(
        rate=rate,
        held=value is not None and value >= share,
        goodput_share=value,
        lower=good.lower if good else None,
        upper=good.upper if good else None,
        requests=summary.requests,
        e2e_p50_ms=median.value if median else None,
        e2e_p99_ms=slow.value if slow else None,
    )


def recovery_of(windows: Sequence[Window], *, ended_s: float, share: float) -> Recovery:
    """When, after the overload, three windows in a row were good again."""
    after = [one for one in windows if one.at_s >= ended_s and one.sent_per_s]
    good = [one.good_per_s >= share * one.sent_per_s for one in after]
    place = next((n for n in range(len(good) - IN_A_ROW + 1) if all(good[n : n + IN_A_ROW])), None)
    found = None if place is None else after[place].at_s - ended_s
    return Recovery(share=share, overload_ended_s=ended_s, recovered_s=found)
