"""CheckList's own files: a folder with its raw file and `tests.json`, which says which line belongs to which test.

The raw file is that of `checklist.TestSuite.to_raw_file` (0.0.11): one example a line, as text or as JSON, test after
test, test case after test case. CheckList keeps the tests themselves in a pickle of Python functions; we never load
one, so that `tests.json` holds what a line must be. A test without labels (MFT) or a direction (DIR) is left out.
I/O: reads and writes the folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from flyball.errors import InputError, NotFoundError
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Message, canonical_json
from flyball.whole_files import replace_file

INDEX: Final = "tests.json"
RAW: Final = "raw.jsonl"
SHAPE: Final = """{"file": "raw.jsonl", "labels": ["negative", "positive"], "tests": [
    {"name": "praise", "capability": "Vocabulary", "type": "MFT", "cases": [1, 1], "labels": 1},
    {"name": "typos", "capability": "Robustness", "type": "INV", "cases": [2, 3]}]}"""
Case = list[str]
"""The texts of one test case; of an INV and a DIR the first is the one before any edit."""


class RawTest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One test. `cases`: how many lines each test case has; `labels`: one for all, or one a case or line."""

    name: str
    capability: str
    type: Literal["MFT", "INV", "DIR"]
    cases: tuple[int, ...]
    labels: Any = None
    direction: Literal["up", "down", "changes"] | None = None


class RawIndex(msgspec.Struct, frozen=True, kw_only=True):
    """`tests.json`; `labels`: lowest first, so that CheckList's label 1 is the second; `prompt` is around each text."""

    tests: tuple[RawTest, ...]
    file: str = RAW
    labels: tuple[str, ...] = ()
    prompt: str = "{text}"
    system: str | None = None


def is_folder(path: Path) -> bool:
    """Whether a suite's path means such a folder."""
    return path.is_dir() or path.name == INDEX


def load_folder(path: Path, name: str) -> Suite:
    """Every example as a case, in the order of the lines; InputError names the test or the line that does not fit."""
    folder = path.parent if path.name == INDEX else path
    index = read_index(folder / INDEX)
    lines = iter(raw_lines(folder / index.file, sum(sum(test.cases) for test in index.tests)))
    items: list[Item] = []
    notes: list[str] = []
    for test in index.tests:
        cases = [[next(lines) for _ in range(count)] for count in test.cases]
        if why := why_not(test, index):
            notes.append(f"{name}: the test {test.name!r} is left out: {why}")
            continue
        if test.type != "MFT" and (alone := sum(len(case) < 2 for case in cases)):
            notes.append(f"{name}: {alone} test cases of {test.name!r} have no edited example and are left out")
        for at, case in enumerate(cases):
            items += case_items(test, index, at, case)
    return Suite(name=name, kind="checklist", items=tuple(items), notes=tuple(notes))


def read_index(path: Path) -> RawIndex:
    """tests.json; InputError says what in it is not understood."""
    cure = f"write it such as\n    {SHAPE}"
    if not path.is_file():
        raise NotFoundError(f"no list of tests {path}", cure=cure)
    try:
        index = msgspec.json.decode(path.read_bytes(), type=RawIndex)
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: {error}", cure=cure) from error
    names = [test.name for test in index.tests]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{path}: two tests are called {twice!r}", cure="give each its own name")
    if bad := next((test for test in index.tests if any(count < 1 for count in test.cases)), None):
        raise InputError(f"{path}: the test {bad.name!r} has a case of no lines", cure="leave such cases out")
    if "{text}" not in index.prompt:
        raise InputError(f"{path}: prompt has no {{text}}", cure="put {text} where the text of a case belongs")
    if Path(index.file).name != index.file:
        raise InputError(f"{path}: file is {index.file!r}, a path", cure="name a file beside it")
    return index


def raw_lines(path: Path, expected: int) -> list[str]:
    """The examples of a raw file as text; InputError where there are more or fewer than `expected`."""
    if not path.is_file():
        raise NotFoundError(f"no raw file {path}", cure=f"write it with TestSuite.to_raw_file, or name it in {INDEX}")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}", cure="write it with PYTHONUTF8=1") from error
    lines = text.removesuffix("\n").split("\n") if text else []
    if len(lines) != expected:
        raise InputError(f"{path} has {len(lines)} lines, but {INDEX} says {expected}", cure="write both again")
    return [example(path, number, line) for number, line in enumerate(lines, 1)] if path.suffix == ".jsonl" else lines


def example(path: Path, number: int, line: str) -> str:
    """The text of a line of JSON."""
    try:
        found = json.loads(line)
    except ValueError as error:
        raise InputError(f"{path}:{number} is not JSON: {error}", cure="name a file of plain lines raw.txt") from error
    if not isinstance(found, str):
        raise InputError(
            f"{path}:{number} is {line[:80]}, not a text",
            cure="write texts with to_raw_file(…, format_fn=…), as a model is to see them",
        )
    return found


def why_not(test: RawTest, index: RawIndex) -> str | None:
    """Why a test cannot be scored without CheckList's own functions; None where it can."""
    if test.type == "MFT" and test.labels is None:
        return "an MFT without labels, whose expectation is a function"
    if test.type == "DIR" and test.direction is None:
        return 'a DIR without "direction" (up, down or changes), whose expectation is a function'
    if test.type == "DIR" and len(index.labels) < 2:
        return "a DIR, but tests.json has no labels"
    return None


def case_items(test: RawTest, index: RawIndex, at: int, case: Case) -> Iterator[Item]:
    """The cases that one test case makes: each line of an MFT, each edited line of the others."""
    groups = {"capability": test.capability, "type": test.type, "cell": f"{test.capability} · {test.type}"}
    first = None if test.type == "MFT" else case[0]
    for number, text in enumerate(case):
        if number == 0 and first is not None:
            continue
        yield Item(
            id=hashlib.sha256(canonical_json([test.name, at, number, first, text])).hexdigest()[:32],
            messages=asked(index.prompt, index.system, text),
            original=None if first is None else asked(index.prompt, index.system, first),
            expected=None if first is not None else label_of(test, index, at, number),
            slice=test.name,
            groups=groups,
            cluster=f"{test.name}: {at}",
            data={
                "type": test.type,
                "labels": list(index.labels),
                "direction": test.direction,
                "case": at,
            },
        )


def label_of(test: RawTest, index: RawIndex, at: int, number: int) -> str:
    """The label of one line of an MFT; CheckList's are often positions in the list of labels."""
    found = test.labels
    for place in (at, number):
        if isinstance(found, list):
            if place >= len(found):
                raise InputError(f"the test {test.name!r} has no label for case {at}", cure="give one a test case")
            found = found[place]
    if isinstance(found, str) and (not index.labels or found in index.labels):
        return found
    if isinstance(found, int | float) and not index.labels:
        return str(found)
    if isinstance(found, int | float) and found == int(found) and 0 <= found < len(index.labels):
        return index.labels[int(found)]
    raise InputError(
        f"the test {test.name!r} expects {found!r}, which is none of the labels {', '.join(index.labels)}",
        cure=f"give all labels in {INDEX}, lowest first",
    )


def asked(prompt: str, system: str | None, text: str) -> tuple[Message, ...]:
    """A text as it is asked."""
    message = Message(role="user", content=prompt.replace("{text}", text))
    return (message,) if system is None else (Message(role="system", content=system), message)


def write_folder(suite: Suite, folder: Path, *, labels: Sequence[str], prompt: str, system: str | None) -> list[Item]:
    """Write the raw file and tests.json of a suite of behaviour tests; its cases in the order of the lines."""
    tests: list[RawTest] = []
    lines: list[str] = []
    order: list[Item] = []
    by_test: dict[str, list[Item]] = {}
    for item in suite.items:
        by_test.setdefault(item.slice or "", []).append(item)
    for name, items in by_test.items():
        cases = test_cases(items)
        texts = [[bare(messages, prompt) for messages in asked_in(case)] for case in cases]
        expected: list[Any] = [
            [item.expected for item in case] if len(case) > 1 else case[0].expected for case in cases
        ]
        kind = str(items[0].data["type"])
        tests.append(
            msgspec.convert(
                {
                    "name": name,
                    "capability": items[0].groups["capability"],
                    "type": kind,
                    "cases": [len(case) for case in texts],
                    "labels": expected if kind == "MFT" else None,
                    "direction": items[0].data.get("direction"),
                },
                RawTest,
            )
        )
        lines += [json.dumps(text, ensure_ascii=False) for case in texts for text in case]
        order += [item for case in cases for item in case]
    index = RawIndex(tests=tuple(tests), labels=tuple(labels), prompt=prompt, system=system)
    replace_file(folder / RAW, "\n".join(lines).encode(), durable=True)
    replace_file(folder / INDEX, msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n", durable=True)
    return order


def test_cases(items: Sequence[Item]) -> list[list[Item]]:
    """The cases of one test by CheckList's test case; each of ours is one of its own."""
    keyed = [(item.data.get("case", f"own {at}"), item) for at, item in enumerate(items)]
    return [[item for _, item in some] for _, some in groupby(keyed, key=lambda one: one[0])]


def asked_in(case: Sequence[Item]) -> Iterator[tuple[Message, ...]]:
    """What the lines of a test case ask: the text before the edits, where there is one, then each case."""
    if case[0].original is not None:
        yield case[0].original
    yield from (item.messages for item in case)


def bare(messages: Sequence[Message], prompt: str) -> str:
    """The text of a question, without the prompt around it."""
    content = messages[-1].content
    before, _, after = prompt.partition("{text}")
    if "{text}" in after:
        raise InputError(f"the prompt has {{text}} twice: {prompt[:80]!r}", cure="put {text} there once, then export")
    return content.removeprefix(before).removesuffix(after)


def predictions_of(order: Sequence[Item], answers: Mapping[str, tuple[str | None, str | None]]) -> Iterator[str]:
    """The lines of a prediction file (`pred_only`): item → (label before, label after) of each case.

    A line whose answer is no label is `none`, and `none before` before an edit, so that it equals no other.
    """
    done: set[tuple[str | None, object]] = set()
    for at, item in enumerate(order):
        before, after = answers[item.id]
        case = (item.slice, item.data.get("case", f"own {at}"))
        if item.original is not None and case not in done:
            done.add(case)
            yield before or "none before"
        yield after or "none"
