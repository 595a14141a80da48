"""Drift: how often unchanged traffic raises an alarm, and how long a change goes unseen. JSON is the last line.

    FLYBALL_DATA=… python bench/drift.py [--seeds 3] [--only CASE,…]

Each route has 200 requests a day for 60 days (drift_streams.py says what they are); the change comes on day 25. Flyball
is the watches of control on one release at their defaults, each person counted fairly, without a ledger. After `make
bench-peers`, river's ADWIN and Evidently read the same requests in the same order, as the same categories and numbers.
Unchanged cases have four routes with five columns that vary, so 20. `delay_requests` is the median over seeds of the
requests from the change to the first alarm of any column; null where half of the seeds or more had none. An alarm of
`one_new_customer` is always false.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from drift_streams import A_DAY, CASES, CHANGE, Request, Texts, stream, texts
from flyball.monitoring.change_detection import ChangeTest
from flyball.monitoring.columns import COLUMNS, Column, Fit
from flyball.monitoring.config import MonitorConfig
from flyball.monitoring.drift import PEOPLE, drift_monitor
from flyball.monitoring.mix_detection import MixTest
from flyball.monitoring.mix_monitor import RECENT, reference_test
from flyball.monitoring.monitor_state import Seen
from flyball.monitoring.monitors import WATCHES

CONFIG = MonitorConfig()
ALPHA = CONFIG.alpha / WATCHES
NEW_WORDS = "new_words"
NUMBERS = ("request_length", "answer_length")
ROOT = Path(__file__).parents[1]
PEERS = {"adwin": "river", "evidently": "evidently"}

Alarm = tuple[str, int]
"""A column, and the place of the request at which it was raised."""


@dataclass(slots=True)
class Watch:
    """A release's watches of its traffic's mix and words, as control runs them."""

    texts: Texts
    admitted: list[tuple[int, Request]] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    reference: tuple[int, int] = (0, 0)
    seconds: float = 0.0  # in the tests alone
    values: dict[str, list[Any]] = field(default_factory=dict)  # every request as the other systems see it

    def read(self, requests: Sequence[Request]) -> None:
        """All of a stream."""
        seen = Seen()
        self.admitted = [(at, one) for at, one in enumerate(requests) if seen.admits(one.person, fair=True)]
        first, rest = self.admitted[: CONFIG.reference_requests], self.admitted[CONFIG.reference_requests :]
        self.reference = (0, first[-1][0] + 1)
        fitted = [one.exchange for _, one in first[::3]]
        counted = [one.exchange for number, (_, one) in enumerate(first) if number % 3]
        for column in COLUMNS:
            fit = column.fit(fitted)
            category = _by_exchange(column, fit)
            test = reference_test(column, fit, counted, CONFIG, ALPHA)
            self._watch_mix(column.name, test, [(at, one.person, category(one)) for at, one in rest])
            if column.name in NUMBERS:
                size = {"request_length": lambda one: len(one.text), "answer_length": lambda one: one.answer_tokens}
                self.values[column.name] = [size[column.name](one.exchange) for one in requests]
            elif column.name == "answers":
                self.values[column.name] = [one.exchange.answer for one in requests]
            elif column.name == "topics":
                self.values[column.name] = [category(one) for one in requests]
        has_new_word = lru_cache(maxsize=None)(self.texts.has_new_word)
        self.values[NEW_WORDS] = [has_new_word(one.exchange.text) for one in requests]
        self._watch_words(self.admitted)

    def _watch_mix(self, name: str, test: MixTest, outcomes: Sequence[tuple[int, str, str]]) -> None:
        began = time.process_time()
        for number, (at, _, category) in enumerate(outcomes):
            if test.update(category, place=at) >= test.needed:
                moved = test.moved
                recent = [one for one in outcomes[max(0, number + 1 - RECENT) : number + 1] if one[0] >= moved.place]
                shown = {who for _, who, seen in recent if moved.direction == "below" or seen == moved.category}
                if len(shown) >= PEOPLE:
                    self.alarms.append((name, at))
                    break
        self.seconds += time.process_time() - began

    def _watch_words(self, outcomes: Sequence[tuple[int, Request]]) -> None:
        test = ChangeTest(drift_monitor(self.texts.held_out_share, CONFIG.drift_margin).limit, "above")
        new: list[tuple[int, str]] = []
        for at, one in outcomes:
            seen = self.values[NEW_WORDS][at]
            if seen:
                new.append((at, one.person))
            if test.update(seen, place=at) >= 1.0 / ALPHA:
                place, *_ = test.suspected
                if len({who for when, who in new if when >= place}) >= PEOPLE:
                    self.alarms.append((NEW_WORDS, at))
                    return


def _by_exchange(column: Column, fit: Fit) -> Callable[[Request], str]:
    """A request's category; rows are drawn again and again, and each is looked at once."""
    found = lru_cache(maxsize=None)(lambda exchange: column.category(fit, exchange))
    return lambda one: found(one.exchange)


@dataclass(frozen=True, slots=True)
class Run:
    """One stream: its case and seed, where the reference ended, and each system's alarms."""

    case: str
    seed: int
    reference: tuple[int, int]
    alarms: dict[str, Sequence[Alarm]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="names of cases, for a look at these")
    arguments = parser.parse_args()
    names = [name for name in CASES if not arguments.only or name in arguments.only.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        runs = read_all(names, arguments.seeds, Path(folder))
    print(json.dumps({name: figures([run for run in runs if run.case == name]) for name in names}))


def read_all(names: Sequence[str], seeds: int, folder: Path) -> list[Run]:
    """Every stream through every system that is there."""
    known, runs, tests, updates = texts(), [], 0.0, 0
    print(f"texts: {known.source}", file=sys.stderr)
    with (folder / "streams").open("w") as file:
        for name in names:
            for seed in range(seeds):
                for route in range(CASES[name].routes):
                    watch = Watch(known)
                    watch.read(stream(known, name, seed=seed, route=route))
                    tests += watch.seconds
                    updates += len(watch.admitted)
                    runs.append(Run(name, seed, watch.reference, {"flyball": watch.alarms}))
                    one = {"reference": watch.reference, "values": watch.values, "numbers": NUMBERS}
                    print(json.dumps(one), file=file)
            print(f"{name}: {time.process_time():.0f} s so far", file=sys.stderr, flush=True)
    print(f"tests of all mixes: {1e6 * tests / updates:.0f} µs a request or less", file=sys.stderr)
    for system, environment in PEERS.items():
        python = ROOT / ".peers" / environment / "bin/python"
        if not python.exists():
            print(f"{system} is not there: make bench-peers", file=sys.stderr)
            continue
        began, alarms = time.monotonic(), folder / system
        script = ROOT / "bench" / "drift_peers.py"
        subprocess.run([python, script, system, folder / "streams", alarms], check=True)
        *lines, version = map(json.loads, alarms.read_text().splitlines())
        for run, found in zip(runs, lines, strict=True):
            run.alarms[system] = [(column, at) for column, at in found]
        print(f"{version}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return runs


def figures(runs: Sequence[Run]) -> dict[str, dict[str, float | None]]:
    """What a case's systems did, as medians over seeds."""
    seeds = sorted({run.seed for run in runs})
    found: dict[str, dict[str, float | None]] = {}
    for system in runs[0].alarms:
        false = [sum(_false_per_month(run, system) for run in runs if run.seed == seed) for seed in seeds]
        delays = [_delay(run, system) for run in runs]
        delay = median(delays)
        print(runs[0].case, system, [round(one, 1) for one in false], delays, _which(runs, system), file=sys.stderr)
        found[system] = {
            "false_per_month": round(median(false), 2),
            "delay_requests": delay if CASES[runs[0].case].right and delay < float("inf") else None,
        }
    return found


def _false_per_month(run: Run, system: str) -> float:
    """Alarms while nothing had changed, all columns of a route together; where none is right, to the end."""
    last = CHANGE if CASES[run.case].right else 60 * A_DAY
    months = (last - run.reference[1]) / A_DAY / 30
    return sum(at < last for _, at in run.alarms[system]) / months


def _delay(run: Run, system: str) -> float:
    return min((at + 1 - CHANGE for _, at in run.alarms[system] if at >= CHANGE), default=float("inf"))


def _which(runs: Sequence[Run], system: str) -> list[str]:
    """The column of each first alarm after the change."""
    return [
        next((column for column, at in sorted(run.alarms[system], key=lambda one: one[1]) if at >= CHANGE), "-")
        for run in runs
    ]


if __name__ == "__main__":
    main()
