"""What a run says: percentiles with intervals, throughput, goodput, errors, and whether the sender kept its times.

A request that failed never came: in every percentile of latency it stands above all answers. Intervals take into
account that neighbours in time are alike (`statistics/blocks.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from flyball.evaluation.load.objectives import is_good
from flyball.evaluation.load.outcomes import Recording, gap_of
from flyball.statistics.blocks import Estimate, quantile_in_blocks, rate_in_blocks, share_in_blocks
from flyball.statistics.intervals import quantile

BLOCKS = 20
MOST_WINDOWS = 60
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
CURVE = (*(number / 100 for number in range(1, 100)), 0.995, 0.999)
LATENCIES = ("ttft", "tpot", "longest_gap", "e2e")
RATES = ("throughput_per_s", "tokens_per_s", "goodput_per_s")
SHARES = ("goodput_share", "error_share")
DRIFT = "e2e_drift_ms"
FEWEST_TO_DRIFT = 40
MEASURES = (*(f"{name}_{q}_ms" for name in LATENCIES for q in QUANTILES), DRIFT, *RATES, *SHARES)
"""What a gate may hold rules on."""


class LoadMeasure(msgspec.Struct, frozen=True, kw_only=True):
    """One number with its interval; None: so many failed, or so few were sent, that there is none."""

    name: str
    value: float | None
    lower: float | None
    upper: float | None
    n: int


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the run, by the times at which requests were due."""

    at_s: float
    sent_per_s: float
    good_per_s: float
    failed: int
    e2e_p50_ms: float | None
    e2e_p99_ms: float | None
    ttft_p50_ms: float | None


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How late the sender turned to requests, in milliseconds, and its share of one core."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_share: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One run of load."""

    requests: int
    answered: int
    seconds: float
    drained_s: float
    sent_per_s: float
    interrupted: bool
    invalid: tuple[str, ...]  # why these figures are those of the sender rather than of the server
    notes: tuple[str, ...]
    level: float
    measures: tuple[LoadMeasure, ...]
    itl_ms: dict[str, float]  # over all gaps between tokens, in buckets 1 % wide
    prompt_tokens: int
    completion_tokens: int
    errors: dict[str, int]
    examples: dict[str, str]
    statuses: dict[str, int]
    connections: int
    lag: Lag
    windows: tuple[Window, ...]
    curves: dict[str, tuple[tuple[float, float], ...]]  # (share, milliseconds) of each latency

    def measured(self, name: str) -> LoadMeasure | None:
        """A measure by its name."""
        return next((one for one in self.measures if one.name == name), None)


def summary_of(
    recording: Recording, objectives: Mapping[str, float], *, max_lag_s: float, level: float = 0.9, streamed: bool
) -> Summary:
    """The summary of a run that sent at least one request."""
    good = is_good(recording, objectives)
    blocks = [min(int(due / recording.seconds * BLOCKS), BLOCKS - 1) for due in recording.due_s]
    errors = Counter(filter(None, recording.error))
    lag = lag_of(recording)
    return Summary(
        requests=len(recording),
        answered=len(recording) - errors.total(),
        seconds=recording.seconds,
        drained_s=recording.drained_s,
        sent_per_s=len(recording) / recording.seconds,
        interrupted=recording.interrupted,
        invalid=tuple(invalid(recording, lag, max_lag_s)),
        notes=tuple(notes(recording)),
        level=level,
        measures=tuple(measures(recording, good, blocks, level=level, streamed=streamed)),
        itl_ms=gap_quantiles(recording.gaps),
        prompt_tokens=sum(recording.prompt_tokens),
        completion_tokens=sum(recording.tokens),
        errors=dict(errors.most_common()),
        examples=recording.examples,
        statuses={str(status): count for status, count in sorted(recording.statuses.items()) if status},
        connections=recording.connections,
        lag=lag,
        windows=tuple(windows(recording, good)),
        curves=curves(recording, streamed=streamed),
    )


def lag_of(recording: Recording) -> Lag:
    """How late the sender was."""
    late = sorted(recording.lag_s)
    return Lag(
        p50_ms=quantile(late, 0.5) * 1000,
        p99_ms=quantile(late, 0.99) * 1000,
        max_ms=late[-1] * 1000,
        cpu_share=recording.cpu_share,
    )


def invalid(recording: Recording, lag: Lag, max_lag_s: float) -> Iterator[str]:
    """Reasons for which the run says nothing about the server."""
    if lag.p99_ms > max_lag_s * 1000:
        yield f"1 % of the requests left more than {lag.p99_ms:.3g} ms late ({max_lag_s * 1000:g} ms allowed)"
    if limited := recording.error.count("sender_limit"):
        yield f"{limited} requests found no free connection of this process (`ulimit -n`)"


def notes(recording: Recording) -> Iterator[str]:
    """What readers should know."""
    if recording.interrupted:
        yield f"ended early: {recording.error.count('unfinished')} requests were under way and count as failed"
    if recording.miscounted:
        yield f"{recording.miscounted} answers with token counts that cannot be true; their chunks are counted instead"
    if recording.empty:
        yield f"{recording.empty} answers without any text"
    if recording.cut:
        yield f"{recording.cut} answers ended at the limit of tokens"
    if recording.cpu_share > 0.9:
        yield f"the sender used {recording.cpu_share:.0%} of its core"


def measures(
    recording: Recording, good: Sequence[float], blocks: Sequence[int], *, level: float, streamed: bool
) -> Iterator[LoadMeasure]:
    """Every measure that the run gives."""
    failed = [bool(error) for error in recording.error]
    for name, column in columns_of(recording, streamed=streamed).items():
        pairs = [
            (math.inf if lost else taken * 1000, block)
            for taken, block, lost in zip(column, blocks, failed, strict=True)
            if lost or taken == taken  # an answer of one token has no gap
        ]
        if pairs:
            values, places = [value for value, _ in pairs], [block for _, block in pairs]
            for label, q in QUANTILES.items():
                found = quantile_in_blocks(values, places, q, level)
                yield measure(f"{name}_{label}_ms", found, len(values))
    yield from drift(recording, blocks, level)
    yield from rates(recording, good, blocks, level)
    yield measure("goodput_share", share_in_blocks(good, blocks, level), len(good))
    yield measure("error_share", share_in_blocks([float(lost) for lost in failed], blocks, level), len(failed))


def columns_of(recording: Recording, *, streamed: bool) -> dict[str, Sequence[float]]:
    """The latencies of each request; those of tokens only where answers come in pieces."""
    if not streamed:
        return {"e2e": recording.end_s}
    columns = (recording.first_s, recording.per_token_s, recording.longest_gap_s, recording.end_s)
    return dict(zip(LATENCIES, columns, strict=True))


def curves(recording: Recording, *, streamed: bool) -> dict[str, tuple[tuple[float, float], ...]]:
    """For a picture: which share of the answers came within how long."""
    found = {}
    for name, column in columns_of(recording, streamed=streamed).items():
        pairs = zip(column, recording.error, strict=True)
        ordered = sorted(math.inf if error else taken * 1000 for taken, error in pairs if error or taken == taken)
        points = [(q, quantile(ordered, q)) for q in CURVE] if ordered else []
        found[name] = tuple((q, ms) for q, ms in points if math.isfinite(ms))
    return found


def drift(recording: Recording, blocks: Sequence[int], level: float) -> Iterator[LoadMeasure]:
    """By how much the median of the last quarter is above that of the first: what creeps up in a soak."""
    ends = [math.inf if lost else end * 1000 for end, lost in zip(recording.end_s, recording.error, strict=True)]
    first = [(end, block) for end, block in zip(ends, blocks, strict=True) if block < BLOCKS // 4]
    last = [(end, block) for end, block in zip(ends, blocks, strict=True) if block >= BLOCKS - BLOCKS // 4]
    if min(len(first), len(last)) < FEWEST_TO_DRIFT:
        return
    both = (1.0 + level) / 2.0  # two intervals that hold together
    before, after = (
        quantile_in_blocks([end for end, _ in part], [block for _, block in part], 0.5, both) for part in (first, last)
    )
    found = Estimate(after.value - before.value, after.lower - before.upper, after.upper - before.lower)
    if not math.isinf(before.upper):
        yield measure(DRIFT, found, len(first) + len(last))


def rates(recording: Recording, good: Sequence[float], blocks: Sequence[int], level: float) -> Iterator[LoadMeasure]:
    """Answers and tokens by the time at which they came, good answers by the time at which they were asked for."""
    answers, tokens, within = [0.0] * BLOCKS, [0.0] * BLOCKS, [0.0] * BLOCKS
    for number, (due, taken) in enumerate(zip(recording.due_s, recording.end_s, strict=True)):
        within[blocks[number]] += good[number]
        block = int((due + taken) / recording.seconds * BLOCKS)
        if not recording.error[number] and block < BLOCKS:
            answers[block] += 1.0
            tokens[block] += recording.tokens[number]
    for name, sums in zip(RATES, (answers, tokens, within), strict=True):
        yield measure(name, rate_in_blocks(sums, recording.seconds, level), len(recording))


def measure(name: str, found: Estimate, n: int) -> LoadMeasure:
    """A measure, None for what is not finite."""
    return LoadMeasure(name=name, value=finite(found.value), lower=finite(found.lower), upper=finite(found.upper), n=n)


def finite(value: float) -> float | None:
    """The value, or None where there is none."""
    return value if math.isfinite(value) else None


def gap_quantiles(gaps: Counter[int]) -> dict[str, float]:
    """Quantiles of the gaps between tokens."""
    found, passed, total = {}, 0, gaps.total()
    wanted = list(QUANTILES.items())
    for bucket, count in sorted(gaps.items()):
        passed += count
        while wanted and passed >= wanted[0][1] * total:
            found[wanted.pop(0)[0]] = gap_of(bucket) * 1000
    return found


def windows(recording: Recording, good: Sequence[float]) -> Iterator[Window]:
    """The run in stretches of a second or longer."""
    count = max(min(MOST_WINDOWS, int(recording.seconds)), 1)
    length = recording.seconds / count
    members: list[list[int]] = [[] for _ in range(count)]
    for number, due in enumerate(recording.due_s):
        members[min(int(due / length), count - 1)].append(number)
    for place, inside in enumerate(members):
        ends = sorted(math.inf if recording.error[one] else recording.end_s[one] * 1000 for one in inside)
        firsts = sorted(math.inf if recording.error[one] else recording.first_s[one] * 1000 for one in inside)
        yield Window(
            at_s=place * length,
            sent_per_s=len(inside) / length,
            good_per_s=sum(good[one] for one in inside) / length,
            failed=sum(bool(recording.error[one]) for one in inside),
            e2e_p50_ms=finite(quantile(ends, 0.5)) if ends else None,
            e2e_p99_ms=finite(quantile(ends, 0.99)) if ends else None,
            ttft_p50_ms=finite(quantile(firsts, 0.5)) if firsts else None,
        )
