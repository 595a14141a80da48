"""Cases of a user's own that say whom they are about: `groups:FILE`. I/O: reads the file.

Any layout of files.py, and in each row `groups` (an object such as {"gender": "female"}, or columns `group_gender`) and
`favourable`: the label, or the list of labels, that is favourable to whom the case is about. A `cluster` column names
cases that come from one source.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flyball.errors import InputError
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.files import Columns, find_layout, parse, rows_of
from flyball.evaluation.suites.suite import Item, Suite
from flyball.inference.labels import label_text
from flyball.records import canonical_json
from flyball.statistics.fairness import SMALLEST_GROUP

PREFIX = "group_"
MOST_NAMED = 8
SHAPE = 'each row has {"text": …, "label": …, "groups": {"gender": "female"}, "favourable": "approved"}'


def load(path: Path, name: str) -> Suite:
    """Every row as a case; InputError names the first that lacks groups or a favourable label."""
    rows = rows_of(path)
    layout, reason = find_layout(path, rows, Columns())
    items: dict[str, Item] = {}
    for row in rows:
        (messages, expected), _ = parse(path, row, layout)
        fields = row.fields or {}
        try:
            groups, favourable, cluster = groups_in(fields), favourable_in(fields), label_text(fields.get("cluster"))
        except ValueError as error:
            raise InputError(f"{path}:{row.line}: {error}", cure=SHAPE) from error
        key = hashlib.sha256(canonical_json([messages, expected, groups])).hexdigest()[:32]
        data = {"favourable": favourable}
        items[key] = Item(
            id=key, messages=messages, expected=expected, groups=groups, data=data, cluster=cluster or None
        )
    cases = tuple(items.values())
    notes = (f"{path.name}: {reason}",) if reason else ()
    return Suite(name=name, kind="bias", items=cases, notes=notes)


def groups_in(fields: Mapping[str, Any]) -> dict[str, str]:
    """Dimension → value of a row; an empty value is none."""
    given = fields.get("groups", {})
    if not isinstance(given, Mapping):
        raise ValueError(f"groups is {given!r}, not an object")
    columns = {key.removeprefix(PREFIX): value for key, value in fields.items() if key.startswith(PREFIX)}
    found = {dimension: label_text(value) for dimension, value in {**given, **columns}.items()}
    groups = {dimension: value for dimension, value in found.items() if value}
    if not groups:
        raise ValueError("the row is about no group")
    for dimension in groups:
        if {"=", "+"} & set(dimension):
            raise ValueError(f"the dimension {dimension!r} contains = or +, which gate rules use")
    return groups


def favourable_in(fields: Mapping[str, Any]) -> list[str]:
    """The favourable labels of a row."""
    given = fields.get("favourable")
    labels = [label_text(label) for label in (given if isinstance(given, list) else [given])]
    if not labels or not all(labels):
        raise ValueError("favourable is missing or empty" if given is None else f"favourable is {given!r}")
    return [label for label in labels if label]


def small_groups(name: str, items: Sequence[Item]) -> Iterator[str]:
    """One sentence on each dimension with groups too small to compare, and on one with nothing to compare."""
    sizes: dict[str, Counter[str]] = {}
    for item in items:
        for dimension, value in item.groups.items():
            sizes.setdefault(dimension, Counter())[value] += 1
    for dimension, values in sizes.items():
        small = [f"{value} ({count})" for value, count in sorted(values.items()) if count < SMALLEST_GROUP]
        if small:
            more = f" and {len(small) - MOST_NAMED} more" if len(small) > MOST_NAMED else ""
            named = ", ".join(small[:MOST_NAMED]) + more
            yield f"{name}: groups of {dimension} under {SMALLEST_GROUP} cases are not compared: {named}"
        if sum(count >= SMALLEST_GROUP for count in values.values()) < 2:
            yield f"{name}: {dimension} has no two groups to compare"


FAMILY = SuiteFamily(
    name="groups",
    kind="bias",
    load=load,
    about="Your own cases with `groups` and a `favourable` label: differences between groups.",
)
