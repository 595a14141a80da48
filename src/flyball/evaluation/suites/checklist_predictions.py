"""Predictions for CheckList's raw file, made elsewhere: `checklist:FOLDER?FILE`. Nothing is asked. I/O: reads them.

A line each, as `checklist.TestSuite.run_from_file` takes them: `pred_only`, `pred_and_conf`, `pred_and_softmax`,
`softmax` or `binary_conf`. A test case is one scored case, 1 where every example in it passes, so that 1 − score is
CheckList's failure rate. Answers are compared, never confidences: CheckList's tolerance of probabilities is not used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Literal

from flyball.errors import InputError, NotFoundError
from flyball.evaluation.measure_names import ELSEWHERE
from flyball.evaluation.measures.checklist import passes
from flyball.evaluation.suites.checklist_files import INDEX, load_folder, read_index, why_not
from flyball.evaluation.suites.suite import Item, MadeElsewhere, Suite
from flyball.records import ScoresFile

Format = Literal["pred_only", "pred_and_conf", "pred_and_softmax", "softmax", "binary_conf"]
CURE = "write a line for each line of the raw file, such as the name of a label or its position"


def load_predictions(folder: Path, file: str, name: str) -> Suite:
    """The folder's test cases with what the predictions score; InputError names a line that is no prediction."""
    folder = folder.parent if folder.name == INDEX else folder
    index, suite, path = read_index(folder / INDEX), load_folder(folder, name), folder / file
    if not path.is_file():
        raise NotFoundError(f"no predictions {path}", cure=CURE)
    body = path.read_bytes()
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}", cure=CURE) from error
    lines = text.removesuffix("\n").split("\n")
    expected = sum(sum(test.cases) for test in index.tests)
    if len(lines) != expected:
        raise InputError(f"{path} has {len(lines)} lines, but {INDEX} says {expected}", cure=CURE)
    form = format_of(lines, index.labels)
    try:
        found = [prediction(line, form, index.labels, number) for number, line in enumerate(lines, 1)]
    except ValueError as error:
        raise InputError(f"{path}: {error}", cure=CURE) from error
    by_case = {key: list(items) for key, items in groupby(suite.items, key=lambda item: item.cluster)}
    scores: dict[str, float] = {}
    items: list[Item] = []
    at = 0
    for test in index.tests:
        for number, count in enumerate(test.cases):
            given, at = found[at : at + count], at + count
            members = by_case.get(f"{test.name}: {number}", [])
            if why_not(test, index) or not members:
                continue
            before, after = (given[0], given[1:]) if test.type != "MFT" else (None, given)
            one = replace(members[0], original=None, cluster=None, request={"made_elsewhere": name})
            items.append(one)
            right = (passes(item, before, answer)[0] for item, answer in zip(members, after, strict=True))
            scores[one.id] = float(all(right))
    about = ScoresFile(suite=name, file=path.name, sha256=hashlib.sha256(body).hexdigest())
    note = f"{name}: predictions made elsewhere ({path.name}, read as {form}), nothing asked; 1 − score is the rate"
    return Suite(
        name=name,
        kind=ELSEWHERE,
        items=tuple(items),
        notes=(*suite.notes, f"{note} of test cases that fail."),
        elsewhere=MadeElsewhere(about=about, scores=scores, missing={}),
    )


def format_of(lines: Sequence[str], labels: Sequence[str]) -> Format:
    """Which of CheckList's formats a whole file is in."""
    if not labels or any(line in labels for line in lines):
        return "pred_only"
    parts = [line.split() for line in lines]
    if all(len(some) == 1 for some in parts):
        whole = all(some[0].isdigit() for some in parts)
        return "binary_conf" if not whole and all(numbers(some) for some in parts) else "pred_only"
    if not all(len(some) > 1 and numbers(some[1:]) for some in parts):
        return "pred_only"
    if all(some[0].isdigit() or some[0] in labels for some in parts):
        return "pred_and_conf" if all(len(some) == 2 for some in parts) else "pred_and_softmax"
    return "softmax" if all(numbers(some) for some in parts) else "pred_only"


def numbers(parts: Sequence[str]) -> list[float]:
    """The parts as numbers; none where one is not."""
    try:
        return [float(part) for part in parts]
    except ValueError:
        return []


def prediction(line: str, form: Format, labels: Sequence[str], number: int) -> str:
    """The answer that a line stands for: the name of a label, else the line as it is."""
    if form == "pred_only" and (not line.isdigit() or line in labels or not labels):
        return line
    if form == "binary_conf":
        place = int(float(line) > 0.5)
    elif form == "softmax":
        shares = [float(part) for part in line.split()]
        place = shares.index(max(shares))
    else:
        first = line.split()[0]
        if first in labels:
            return first
        place = int(first)
    if place >= len(labels):
        raise ValueError(f"line {number} names label {place}, but {INDEX} has {len(labels)}")
    return labels[place]
