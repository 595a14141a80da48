"""Make a first suite of labelled rows, and say which gate their number can decide. I/O: reads and writes files."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import msgspec

from flyball.errors import InputError
from flyball.evaluation.measures.answers import expects_objects
from flyball.evaluation.suites.catalog import OF_THE_ROWS
from flyball.evaluation.suites.files import Columns, file_items
from flyball.evaluation.suites.suite import Item, Suite
from flyball.evaluation.training_overlap import Compared, compare_with_training
from flyball.evaluation.url_evaluation import are_labels
from flyball.records import DatasetVersion, name_of
from flyball.records.record_files import read_document
from flyball.statistics.intervals import clopper_pearson, clopper_pearson_lower, clopper_pearson_upper, needed_for_lower
from flyball.whole_files import replace_file

FEWEST = 20
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LEAKED = ("equal", "passage")
CLOSER = (0.05, 0.02)
"""How far under the expected score a threshold may lie that more cases decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decidable:
    """What so many cases decide: at the expected score `at_least` passes; `needed`: cases for closer thresholds."""

    measure: str
    n: int
    expect: float
    interval: tuple[float, float]
    at_least: float
    errors_at_most: float
    needed: dict[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSuite:
    """The suite that was written, its gate, and what a reader should know."""

    path: Path
    name: str
    gate: Decidable
    leaked: int
    notes: tuple[str, ...]


def suite_from_rows(
    source: Path,
    *,
    name: str,
    root: Path,
    dataset_dir: Path | None,
    columns: Columns,
    expect: float,
    alpha: float,
) -> FirstSuite:
    """Write suites/NAME.jsonl under `root`; rows that the dataset was trained on are left out and counted.

    InputError: a name that is none or taken, a row without a label, fewer than 20 rows, or no threshold that they
    decide at the score `expect`.
    """
    path = root / "suites" / f"{name}.jsonl"
    check_name(name, path)
    items, notes = file_items(source, columns)
    suite = Suite(name=name, kind="answer", items=items)
    kept, compared = unseen(suite, dataset_dir)
    leaked = len(items) - len(kept.items)
    if len(kept.items) < FEWEST:
        besides = f" besides {leaked} that are in the training rows" if leaked else ""
        raise InputError(
            f"{source} has {len(kept.items)} different labelled rows{besides}; a suite takes at least {FEWEST}",
            cure="label more rows that no model was trained on",
        )
    gate = decidable(measure_of(kept), len(kept.items), expect=expect, alpha=alpha)
    replace_file(path, lines_of(kept.items), durable=True)
    return FirstSuite(path=path, name=name, gate=gate, leaked=leaked, notes=(*notes, *compared.notes))


def check_name(name: str, path: Path) -> None:
    """A name that reports and gate rules can use, and whose file is not there yet."""
    if not NAME.fullmatch(name) or name in OF_THE_ROWS:
        raise InputError(
            f"{name!r} is no name for a suite",
            cure=f"use letters, digits, - and _, and none of {', '.join(OF_THE_ROWS)}",
        )
    if path.exists():
        raise InputError(f"{path} is there already", cure="give another --name, or remove the file")


def unseen(suite: Suite, dataset_dir: Path | None) -> tuple[Suite, Compared]:
    """The suite without the cases that the training rows hold, and what the comparison says."""
    record = dataset_dir / "record.json" if dataset_dir else None
    if record is None or not record.is_file():
        return suite, Compared(notes=("not compared with training rows: there is no dataset here",))
    dataset = cast(DatasetVersion, read_document(record)[0])
    found = compare_with_training(
        (suite,), trained_on=name_of(dataset), dataset_dir=dataset_dir, redaction=dataset.redaction, most=None
    )
    leaked = {case.case for case in found.cases if case.kind in LEAKED}
    return replace(suite, items=tuple(item for item in suite.items if item.id not in leaked)), found


def measure_of(suite: Suite) -> str:
    """The measure that fits what is expected: labels, JSON objects, or texts."""
    if expects_objects(suite):
        return "exact_fields"
    return "exact_match" if are_labels((suite,)) else "chrf"


def decidable(measure: str, n: int, *, expect: float, alpha: float) -> Decidable:
    """The bounds of `n` cases at the score `expect`, by Clopper–Pearson as for right and wrong.

    Graded scores spread less than right and wrong do, so that theirs is the careful figure.
    """
    right = round(expect * n)
    least = math.floor(clopper_pearson_lower(right, n, alpha) * 100) / 100
    if least <= 0.0:
        raise InputError(
            f"{n} cases prove nothing at a score of {expect:g}: the lower bound is under 0.01",
            cure="label more rows, or give the score that you do --expect",
        )
    closer = [round(expect - step, 4) for step in CLOSER if expect - step > least]
    return Decidable(
        measure=measure,
        n=n,
        expect=expect,
        interval=clopper_pearson(right, n, 1.0 - 2.0 * alpha),
        at_least=least,
        errors_at_most=math.ceil(clopper_pearson_upper(0, n, alpha) * 100) / 100,
        needed={f"{one:g}": needed_for_lower(expect, one, alpha) for one in closer},
    )


def lines_of(items: Sequence[Item]) -> bytes:
    """The cases as files of cases have them, one layout for all."""
    alone = all(len(item.messages) == 1 for item in items)
    rows = [
        {"text": item.messages[0].content, "label": item.expected}
        if alone
        else {
            "messages": [{"role": one.role, "content": one.content} for one in item.messages],
            "expected": item.expected,
        }
        for item in items
    ]
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


def settings_text(made: FirstSuite, suites: Sequence[str]) -> str:
    """What flyball.yaml needs for the suite and its gate; `suites` are those that it has."""
    import yaml  # only where a suite was made

    rules = [
        {"suite": made.name, "measure": made.gate.measure, "at_least": made.gate.at_least},
        {"suite": made.name, "measure": "errors", "at_most": made.gate.errors_at_most},
    ]
    wanted = {"evaluate": {"suites": [*suites, f"suites/{made.name}.jsonl"]}, "gate": {"rules": rules}}
    return str(yaml.safe_dump(wanted, sort_keys=False)).rstrip()
