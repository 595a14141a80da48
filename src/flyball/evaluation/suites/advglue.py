"""AdvGLUE: adversarial sentences of six GLUE tasks. I/O: reads the published dev.json, or its rows as JSON Lines.

Wang et al. 2021, "Adversarial GLUE: A Multi-Task Benchmark for Robustness Evaluation of Language Models", NeurIPS.
Labels are GLUE's own numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from flyball.errors import InputError
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.public_rows import PublicRow, public_rows, split_plain, text_of, whole_suite
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Message


@dataclass(frozen=True, slots=True)
class Task:
    """The question of a task, the labels by their numbers, and the columns that it shows."""

    question: str
    labels: tuple[str, ...]
    columns: tuple[str, ...]


_ENTAILS: Final = "Does the first text entail the second? Answer with one word, entailment or not_entailment."
_MNLI: Final = Task(
    "Does the premise entail the hypothesis? Answer with one word, entailment, neutral or contradiction.",
    ("entailment", "neutral", "contradiction"),
    ("premise", "hypothesis"),
)
TASKS: Final[Mapping[str, Task]] = {
    "sst2": Task(
        "Is this sentence positive or negative? Answer with one word, positive or negative.",
        ("negative", "positive"),
        ("sentence",),
    ),
    "qqp": Task(
        "Do these two questions ask the same? Answer with one word, different or duplicate.",
        ("different", "duplicate"),
        ("question1", "question2"),
    ),
    "mnli": _MNLI,
    "mnli-mm": _MNLI,
    "qnli": Task(
        "Does the sentence answer the question? Answer with one word, entailment (it does) or not_entailment.",
        ("entailment", "not_entailment"),
        ("question", "sentence"),
    ),
    "rte": Task(_ENTAILS, ("entailment", "not_entailment"), ("sentence1", "sentence2")),
}


def load(path: Path, name: str) -> Suite:
    """Every case, with its task as slice."""
    path, plain = split_plain(path)
    rows = by_task(path) or public_rows(path, "advglue", ("task", "idx", "label"), filled=("idx",))
    return whole_suite(name, "labelled", [item_of(row, plain=plain) for row in rows], path)


def by_task(path: Path) -> list[PublicRow]:
    """The rows of an object with an array for each task, as dev.json is; none for any other file."""
    if path.suffix != ".json" or not path.is_file():
        return []
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, list[dict[str, Any]]])
    except msgspec.MsgspecError:
        return []
    return [
        PublicRow(
            place=f"{path}: {task}, case {at}",
            columns={"task": task, **{column: text_of(value) for column, value in row.items()}},
        )
        for task, rows in found.items()
        for at, row in enumerate(rows)
    ]


def item_of(row: PublicRow, *, plain: bool) -> Item:
    """One case under its task and number."""
    name = row.one_of("task", TASKS)
    task = TASKS[name]
    label = task.labels[int(row.one_of("label", [str(number) for number in range(len(task.labels))]))]
    texts = [row[column] for column in task.columns]
    if not all(texts):
        raise InputError(
            f"{row.place}: a case of {name} needs the columns {', '.join(task.columns)}", cure="give the published file"
        )
    shown = "\n".join(
        texts if plain or len(texts) == 1 else [f"{c}: {t}" for c, t in zip(task.columns, texts, strict=True)]
    )
    return Item(
        id=f"{name}-{row['idx']}",
        messages=(Message(role="user", content=shown if plain else f"{task.question}\n\n{shown}"),),
        expected=label,
        slice=name,
        data={"labels": list(task.labels)},
    )


FAMILY = SuiteFamily(name="advglue", kind="labelled", load=load, about="AdvGLUE: adversarial cases of six GLUE tasks.")
