"""Write behaviour tests as CheckList's files. I/O: reads the suite and a report's scores, writes a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flyball.errors import InputError
from flyball.evaluation.item_scores import read_items
from flyball.evaluation.suites.catalog import family_of, load_suite
from flyball.evaluation.suites.checklist import read
from flyball.evaluation.suites.checklist_files import INDEX, is_folder, predictions_of, read_index, write_folder
from flyball.evaluation.suites.suite import Item
from flyball.whole_files import replace_file

PREDICTIONS = "predictions.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The folder that was written, and how many tests, cases and lines of predictions (0: none) are in it."""

    folder: Path
    tests: int
    cases: int
    predictions: int


def export_checklist(name: str, folder: Path, *, root: Path, report: Path | None) -> Exported:
    """Write raw.jsonl and tests.json, and predictions.txt where a `report` folder holds what was answered.

    InputError: a suite of another family, a folder that has such files, or a report on other cases.
    """
    family = family_of(name)
    if family is None or family.name != "checklist" or "?" in name:
        raise InputError(f"{name} is no suite of behaviour tests", cure="name one such as checklist:checks.yaml")
    if (folder / INDEX).exists():
        raise InputError(f"{folder / INDEX} is there already", cure="name another folder, or remove the file")
    suite = load_suite(name, dataset_dir=None, root=root)
    path = root / name.partition(":")[2]
    source = read_index(path if path.name == INDEX else path / INDEX) if is_folder(path) else read(path)
    answers = answers_in(report, suite.items, source.labels) if report else {}
    order = write_folder(suite, folder, labels=source.labels, prompt=source.prompt, system=source.system)
    lines = list(predictions_of(order, answers)) if report else []
    if lines:
        replace_file(folder / PREDICTIONS, "\n".join(lines).encode() + b"\n", durable=True)
    tests = len({item.slice for item in suite.items})
    return Exported(folder=folder, tests=tests, cases=len(suite.items), predictions=len(lines))


def answers_in(report: Path, items: Sequence[Item], labels: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
    """Case → (label before the edit, label of the answer), as the scores of a report keep them."""
    if not labels:
        raise InputError(
            "the suite has no labels, and reports keep no other answers", cure="export it without --report"
        )
    found = {
        score.item: (score.expected, score.answer)
        for score in read_items(report / "items.jsonl")
        if score.measure == "passed"
    }
    if lacking := sum(item.id not in found for item in items):
        raise InputError(
            f"{report} has no answer to {lacking} of {len(items)} cases",
            cure="name the report of an evaluation of this suite, without --limit",
        )
    return found
