"""Per-item scores as a gate reads them: checked against the report that they claim to be the evidence of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from flyball.errors import CorruptionError
from flyball.records import EvalReport, Measure, fingerprint_of
from flyball.statistics.classification import Drawn


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate needs of one item's score (`evaluation.items.ItemScore`, or the same keys in a mapping)."""

    suite: str
    item: str
    measure: str
    score: float
    expected: str | None = None
    answer: str | None = None
    error: str | None = None
    slice: str | None = None
    groups: dict[str, str] = {}
    cluster: str | None = None
    weight: float = 1.0

    def is_in(self, part: str) -> bool:
        """Whether the case belongs to a slice: its name, or `dimension=value`."""
        dimension, equals, value = part.partition("=")
        return self.slice == part or (bool(equals) and self.groups.get(dimension) == value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A report with its items by suite, measure and item id."""

    report: EvalReport
    items: Mapping[tuple[str, str], Mapping[str, Scored]]
    drawn: Drawn = "counts"
    """How the bootstrap of macro F1 draws: decisions that were made before drew rows."""

    def of(self, suite: str, measure: str, part: str | None = None) -> Mapping[str, Scored]:
        """Scores by item id, of the whole suite or of one slice; empty when there are none."""
        rows = self.items.get((suite, measure), {})
        return rows if part is None else {item: row for item, row in rows.items() if row.is_in(part)}

    def errors(self, suite: str, part: str | None = None) -> list[float]:
        """1 for each case of a suite or slice without an answer or without any score, 0 for each other one."""
        failed: dict[str, bool] = {}
        for (name, _), rows in self.items.items():
            if name == suite:
                for item, row in ((item, row) for item, row in rows.items() if part is None or row.is_in(part)):
                    failed[item] = failed.get(item, False) or bool(row.error)
        return [float(error) for error in failed.values()] + [1.0] * (self.size(suite, part) - len(failed))

    def size(self, suite: str, part: str | None = None, *, measure: str = "") -> int:
        """How many items the suite has, measured or not; of a slice, those that were scored on any measure.

        With a `measure`: without those that were scored, but not on it, because it says nothing about them.
        """
        scored = {
            row.item
            for (name, _), rows in self.items.items()
            if name == suite
            for row in rows.values()
            if part is None or row.is_in(part)
        }
        others = scored - self.of(suite, measure, part).keys() if measure else set()
        if part is not None:
            return len(scored) - len(others)
        whole = next((reference.items for reference in self.report.suites if reference.name == suite), 0)
        return whole - len(others)

    def fingerprint(self, suite: str) -> str | None:
        """Of the suite's items; None when the report has no such suite."""
        return next((reference.fingerprint for reference in self.report.suites if reference.name == suite), None)

    def measured(self, suite: str, measure: str, part: str | None = None) -> Measure | None:
        """The report's own measure over a whole suite, or over a slice."""
        wanted = (suite, measure, part)
        return next((m for m in self.report.measures if (m.suite, m.name, m.slice) == wanted), None)


def evidence(report: EvalReport, items: Sequence[Any], *, drawn: Drawn = "counts") -> Evidence:
    """The report with its items; CorruptionError when they are not those that it was made from."""
    plain = [{key: value for key, value in entry.items() if value is not None} for entry in msgspec.to_builtins(items)]
    if fingerprint_of(plain) != report.items_hash:
        raise CorruptionError(
            "the per-item scores are not those of the report", cure="run `flyball evaluate` again, then the gate"
        )
    grouped: dict[tuple[str, str], dict[str, Scored]] = {}
    for scored in msgspec.convert(plain, list[Scored]):
        group = grouped.setdefault((scored.suite, scored.measure), {})
        if scored.item in group:
            raise CorruptionError(f"the item {scored.item} of {scored.suite} has two scores", cure="evaluate again")
        group[scored.item] = scored
    return Evidence(report=report, items=grouped, drawn=drawn)
