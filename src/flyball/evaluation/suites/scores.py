"""Scores that another program made, case by case: `scores:FILE`. Nothing is asked. I/O: reads the file.

The fingerprint of such a suite is that of its cases (ids, groups, clusters), so that two releases compare on it; the
scores are bound by the file's hash in the report and by the hash of the per-case scores.
"""

from __future__ import annotations

import hashlib
import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from flyball.errors import InputError, NotFoundError
from flyball.evaluation.measure_names import ELSEWHERE
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.files import rows_of
from flyball.evaluation.suites.score_layouts import (
    ScoredCase,
    ScoresRead,
    inspect_ai,
    is_lm_eval,
    junit_xml,
    lm_eval,
    plain_rows,
    twice,
)
from flyball.evaluation.suites.suite import Item, MadeElsewhere, Suite
from flyball.records import Message, ScoresFile

SHAPE = (
    'give lm-eval\'s samples_*.jsonl, an inspect_ai log as JSON, JUnit XML, or rows of {"id": …, "score": 0 to 1}; '
    "choose one of several scores with scores:FILE?NAME"
)
ZIP = b"PK\x03\x04"


def load(path: Path, name: str) -> Suite:
    """Every case with its score; InputError names a score that is none, and the scores there are to choose from."""
    file, _, choice = path.name.partition("?")
    path = path.with_name(file)
    if not path.is_file():
        raise NotFoundError(f"no scores at {path}", cure=SHAPE)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        read = read_scores(path, choice)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}: {what}", cure=SHAPE) from error
    if double := next(twice(read.cases), None):
        raise InputError(f"{path}: two cases have the id {double!r}", cure="give each its own")
    if not read.cases:
        raise InputError(f"{path} has no cases", cure=SHAPE)
    about = ScoresFile(suite=name, file=path.name, sha256=digest, model=read.model, release=read.release)
    return Suite(
        name=name,
        kind=ELSEWHERE,
        items=tuple(item_of(case, name) for case in read.cases),
        notes=(said_of(about, read), *(f"{name}: {note}" for note in read.notes)),
        elsewhere=MadeElsewhere(
            about=about,
            scores={case.id: case.score for case in read.cases},
            missing={case.id: case.missing for case in read.cases if case.missing},
        ),
    )


def read_scores(path: Path, choice: str) -> ScoresRead:
    """The cases of a file, by what is in it."""
    head = path.open("rb").read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(ZIP):
        raise ValueError("it is a packed log; `inspect log dump FILE > FILE.json` writes it as JSON")
    if head.startswith(b"<"):
        return junit_xml(xml_in(path))
    if path.suffix == ".json" and isinstance(log := json.loads(path.read_bytes()), dict):
        if "samples" not in log:
            raise ValueError("the log has no samples; write it with them (`inspect log dump`)")
        return inspect_ai(log, choice)
    rows = json_lines(path) if head.startswith(b"{") else [dict(row.fields or {}) for row in rows_of(path)]
    return (lm_eval if rows and all(map(is_lm_eval, rows)) else plain_rows)(rows, choice)


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The rows of JSON lines as Python's json writes them, NaN included; ValueError names a line that is none."""
    found: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_bytes().removeprefix(BOM_UTF8).splitlines(), 1):
        try:
            row = json.loads(line) if line.strip() else None
        except ValueError as error:
            raise ValueError(f"line {number} is not JSON: {error}") from error
        if row is not None and not isinstance(row, dict):
            raise ValueError(f"line {number} is no JSON object")
        found += [row] if row else []
    return found


def xml_in(path: Path) -> ElementTree.Element:
    """The document; one that declares entities is refused, since they may grow without end."""
    body = path.read_bytes()
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise ValueError("the XML declares a document type, which JUnit XML does not")
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is not XML: {error}") from error


def item_of(case: ScoredCase, suite: str) -> Item:
    """A case that is not asked; its request keeps it apart from every real question."""
    return Item(
        id=case.id,
        messages=(Message(role="user", content=case.id),),
        request={"made_elsewhere": suite},
        slice=case.slice,
        groups=dict(case.groups),
        cluster=case.cluster,
        data=dict(case.data),
    )


def said_of(about: ScoresFile, read: ScoresRead) -> str:
    """What a reader of the report must know."""
    return " ".join(_said_of(about, read))


def _said_of(about: ScoresFile, read: ScoresRead) -> Iterator[str]:
    yield f"{about.suite}: made elsewhere ({about.file}, {read.layout}, SHA-256 {about.sha256[:12]}), nothing asked."
    if about.model:
        yield f"The file says that it scored {about.model}."
    yield f"It names the release {about.release}." if about.release else "Nothing in it ties it to a release."


FAMILY = SuiteFamily(
    name="scores",
    kind=ELSEWHERE,
    load=load,
    about="Scores made elsewhere: lm-eval samples, inspect_ai logs, JUnit XML, or rows of id and score.",
)
