"""The layouts in which other programs write a score for each case. Pure: takes what was parsed, gives scored cases.

lm-eval: `samples_*.jsonl` of lm-evaluation-harness (`--log_samples`). inspect_ai: its log as JSON (`inspect log dump`).
pytest: JUnit XML. Rows: {id, score, group?, groups?, cluster?}.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from xml.etree import ElementTree

from flyball.records import JSON

GRADES: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""inspect_ai's correct, partial, incorrect and no answer (its `value_to_float`)."""
NO_SCORE = "no score"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCase:
    """A case with its score, or `missing`: why it has none. `data` tells cases with one id apart, such as a hash."""

    id: str
    score: float = 0.0
    missing: str | None = None
    slice: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    cluster: str | None = None
    data: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresRead:
    """What a file holds, and what it says of who was scored."""

    layout: str
    cases: Sequence[ScoredCase]
    model: str | None = None
    release: str | None = None
    notes: Sequence[str] = ()


def score_in(value: object) -> float:
    """A score from 0 to 1, or true and false; ValueError says what there is instead."""
    if isinstance(value, str):
        try:
            value = float(value)  # a cell of a CSV file
        except ValueError:
            raise ValueError(f"the score is {value!r}, not a number") from None
    if not isinstance(value, bool | int | float):
        raise ValueError(f"the score is {value!r}, not a number")
    if not 0.0 <= value <= 1.0:  # false for NaN too
        raise ValueError(f"the score is {value!r}, outside 0 to 1")
    return float(value)


def chosen_of(names: Iterable[str], choice: str) -> str:
    """Which score of each case counts: the only one, or the one that `?choice` names; ValueError lists them."""
    found = sorted(set(names))
    if choice in found or (not choice and len(found) == 1):
        return choice or found[0]
    listed = ", ".join(found) or "none"
    raise ValueError(f"there is no score {choice!r}, but {listed}" if choice else f"there are several scores: {listed}")


def lm_eval(rows: Sequence[Mapping[str, Any]], choice: str) -> ScoresRead:
    """Samples of lm-evaluation-harness: one row a document and filter, with the metrics by name."""
    pairs = {f"{metric},{row.get('filter', 'none')}" for row in rows for metric in row["metrics"]}
    metrics = {pair.partition(",")[0] for pair in pairs}
    if choice in metrics:
        pairs = {pair for pair in pairs if pair.startswith(f"{choice},")}
        choice = ""
    metric, _, kept = chosen_of(pairs, choice).partition(",")
    cases = []
    for row in rows:
        if str(row.get("filter", "none")) == kept:
            name = str(row["doc_id"])
            data = {"doc_hash": row["doc_hash"]} if row.get("doc_hash") else {}
            cases.append(scored_case(name, row.get(metric), data=data))
    return ScoresRead(layout="lm-eval", cases=cases)


def scored_case(name: str, value: object, **more: Any) -> ScoredCase:
    """A case with what stands where its score belongs; none, or NaN, is a failure; ValueError names the case."""
    if value is None or value == "":
        return ScoredCase(id=name, missing=NO_SCORE, **more)
    if isinstance(value, float) and math.isnan(value):
        return ScoredCase(id=name, missing=f"{NO_SCORE}: NaN", **more)
    try:
        return ScoredCase(id=name, score=score_in(value), **more)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def inspect_ai(log: Mapping[str, Any], choice: str) -> ScoresRead:
    """A log of inspect_ai: every sample of every epoch; the epochs of one sample are a cluster."""
    status = log.get("status")
    if status not in (None, "success"):
        raise ValueError(f"the log's status is {status!r}, so that samples may lack (`inspect eval-retry`)")
    samples = log["samples"]
    name = chosen_of((scorer for sample in samples for scorer in sample.get("scores") or ()), choice)
    repeated = any(int(sample.get("epoch", 1)) > 1 for sample in samples)
    cases = []
    for sample in samples:
        given = (sample.get("scores") or {}).get(name)
        value = given.get("value") if isinstance(given, Mapping) else given
        value = GRADES.get(value, value) if isinstance(value, str) else value
        case = str(sample["id"])
        key, cluster = (f"{case}#{sample.get('epoch', 1)}", case) if repeated else (case, None)
        error = sample.get("error")
        if value is None and error:
            message = error.get("message", "") if isinstance(error, Mapping) else str(error)
            cases.append(ScoredCase(id=key, missing=f"{NO_SCORE}: {message}"[:200], cluster=cluster))
        else:
            cases.append(scored_case(key, value, cluster=cluster))
    about = log.get("eval") or {}
    release = (about.get("metadata") or {}).get("release")
    return ScoresRead(layout="inspect_ai", cases=cases, model=about.get("model"), release=release)


def junit_xml(root: ElementTree.Element) -> ScoresRead:
    """Tests of JUnit XML: failures and errors score 0, skipped ones have no score; a test that stands twice, its worst.

    pytest writes a test twice where its call and its teardown failed.
    """
    found: dict[str, ScoredCase] = {}
    skipped: list[str] = []
    for test in root.iter("testcase"):
        where, name = test.get("classname") or "", test.get("name") or ""
        key = f"{where}::{name}" if where else name
        skip = test.find("skipped")
        bad = test.find("failure") is not None or test.find("error") is not None
        reason = f"skipped: {skip.get('message') or 'no reason given'}"[:200] if skip is not None and not bad else None
        case = ScoredCase(id=key, score=float(not bad and skip is None), missing=reason, slice=where or None)
        skipped += [key] if reason else []
        before = found.get(key)
        if before is None or (before.missing is None and case.score < before.score):
            found[key] = case
    notes = []
    if skipped:
        named = ", ".join(skipped[:5]) + (", …" if len(skipped) > 5 else "")
        notes.append(f"{len(skipped)} tests were skipped and count as failures: {named}")
    properties = {one.get("name"): one.get("value") for one in root.iter("property")}
    return ScoresRead(
        layout="JUnit XML",
        cases=list(found.values()),
        model=properties.get("model"),
        release=properties.get("release"),
        notes=notes,
    )


def plain_rows(rows: Sequence[Mapping[str, Any]], choice: str) -> ScoresRead:
    """Rows of {id, score} with `group` or `groups` and `cluster`; another column than `score` by `?COLUMN`."""
    column = choice or "score"
    if not any(column in row for row in rows):
        raise ValueError(f"no row has the key {column!r}")
    cases = []
    for number, row in enumerate(rows, 1):
        if row.get("id") in (None, ""):
            raise ValueError(f"row {number} has no id")
        groups = row.get("groups") or {}
        if not isinstance(groups, Mapping):
            raise ValueError(f"{row['id']}: groups is {groups!r}, not an object")
        cases.append(
            scored_case(
                str(row["id"]),
                row.get(column),
                slice=text_in(row.get("group")),
                groups={str(name): str(value) for name, value in groups.items()},
                cluster=text_in(row.get("cluster")),
            )
        )
    return ScoresRead(layout="rows", cases=cases, model=one_in(rows, "model"), release=one_in(rows, "release"))


def text_in(value: object) -> str | None:
    """A cell as text; None where it is empty."""
    return None if value in (None, "") else str(value)


def one_in(rows: Sequence[Mapping[str, Any]], column: str) -> str | None:
    """What all rows say in a column; ValueError where they say different things."""
    found = sorted({str(row[column]) for row in rows if row.get(column) not in (None, "")})
    if len(found) > 1:
        raise ValueError(f"the rows name several of {column}: {', '.join(found[:5])}")
    return found[0] if found else None


def twice(cases: Sequence[ScoredCase]) -> Iterator[str]:
    """Ids that stand twice."""
    seen: set[str] = set()
    for case in cases:
        if case.id in seen:
            yield case.id
        seen.add(case.id)


def is_lm_eval(row: Mapping[str, Any]) -> bool:
    """Whether a row is a sample of lm-evaluation-harness."""
    return "doc_id" in row and isinstance(row.get("metrics"), list)
