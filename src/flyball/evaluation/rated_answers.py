"""The answers of rated suites, redacted, for people who label and judges who compare. I/O: a JSON Lines file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from flyball.errors import CorruptionError
from flyball.evaluation.case_answers import Answer
from flyball.evaluation.suites.suite import Suite
from flyball.privacy.redaction import redact
from flyball.whole_files import replace_file

ANSWERS: Final = "answers.jsonl"


class RatedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked and answered in one case; `answer` is null where there is none."""

    suite: str
    item: str
    question: str
    answer: str | None


def shown_answer(text: str) -> str:
    """An answer as people see it, and as their labels name it."""
    return redact(text, "default").text


def write_answers(folder: Path, suites: Sequence[Suite], answers: Mapping[str, Answer]) -> None:
    """answers.jsonl in `folder` where a suite is rated, in a seeded random order: any first lines are a sample."""
    lines: list[RatedAnswer] = []
    for suite in (suite for suite in suites if suite.kind == "rated"):
        for item in sorted(suite.items, key=lambda item: hashlib.sha256(f"label:{item.id}".encode()).digest()):
            answer = answers[item.key]
            question = "\n\n".join([*(one.content for one in item.messages), *item.follow_ups])
            lines.append(
                RatedAnswer(
                    suite=suite.name,
                    item=item.id,
                    question=shown_answer(question),
                    answer=None if answer.error else shown_answer(answer.text),
                )
            )
    if lines:
        replace_file(folder / ANSWERS, b"".join(msgspec.json.encode(one) + b"\n" for one in lines), durable=False)


def read_answers(folder: Path) -> dict[tuple[str, str], RatedAnswer]:
    """By suite and case; empty where a report has no rated suite, CorruptionError for a line that is none."""
    path = folder / ANSWERS
    if not path.is_file():
        return {}
    try:
        found = [msgspec.json.decode(line, type=RatedAnswer) for line in path.read_bytes().splitlines()]
    except msgspec.MsgspecError as error:
        raise CorruptionError(f"{path} holds something else than answers: {error}", cure="evaluate again") from error
    return {(one.suite, one.item): one for one in found}
