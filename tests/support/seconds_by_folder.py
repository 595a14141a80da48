"""A pytest plugin: seconds that each folder's tests took, on the clock and of the processors, printed at the end.

Processor time counts the worker's own process and every child that it has waited for. `--seconds=FILE` also writes a
line of JSON for each part of each test, to find which ones to shorten.
"""

from __future__ import annotations

import json
import resource
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SPENT = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seconds", metavar="FILE", type=Path, help="write each test's seconds as lines of JSON")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SPENT] = cpu_s()
    if not hasattr(config, "workerinput"):  # under xdist, the process that collects what the workers report
        config.pluginmanager.register(Totals(config.getoption("--seconds")), "seconds-totals")


def cpu_s() -> float:
    """Processor seconds of this process and of the children that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """What was spent since the last report; xdist carries a report's attributes to the collecting process."""
    report: Any = yield
    now = cpu_s()
    report.cpu_s = now - item.config.stash[SPENT]
    item.config.stash[SPENT] = now
    return report


class Totals:
    """Adds up the reports of all workers."""

    def __init__(self, file: Path | None) -> None:
        self.folders: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
        self.file = file.open("w", encoding="utf-8") if file else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cpu_s = getattr(report, "cpu_s", 0.0)
        folder = self.folders["/".join(Path(report.location[0]).parts[:-1][:2])]
        folder[0] += report.when == "call"
        folder[1] += report.duration
        folder[2] += cpu_s
        if self.file:
            line = {"test": report.nodeid, "when": report.when, "outcome": report.outcome}
            line |= {"clock_s": report.duration, "cpu_s": cpu_s}
            print(json.dumps(line), file=self.file, flush=True)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if sum(count for count, _, _ in self.folders.values()) > 1:
            terminalreporter.section("seconds by folder: clock, processors, tests")
            for name, (count, clock_s, cpu_s) in sorted(self.folders.items(), key=lambda pair: -pair[1][1]):
                terminalreporter.line(f"{clock_s:8.1f} {cpu_s:8.1f} {count:6.0f}  {name}")
