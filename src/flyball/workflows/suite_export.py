"""Write a suite for another tool: CheckList or AI Fairness 360. I/O: reads a suite and a report, writes files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flyball.errors import InputError
from flyball.evaluation.item_scores import read_items
from flyball.evaluation.suite_names import suite_name
from flyball.evaluation.suites import aif360
from flyball.evaluation.suites.catalog import family_of, load_suite
from flyball.evaluation.suites.checklist import read
from flyball.evaluation.suites.checklist_files import INDEX, is_folder, predictions_of, read_index, write_folder
from flyball.evaluation.suites.suite import Item
from flyball.whole_files import replace_file

PREDICTIONS = "predictions.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written, and how many tests, cases and predictions (0: none) are in it."""

    path: Path
    tests: int
    cases: int
    predictions: int


def export_suite(name: str, path: Path, *, root: Path, report: Path | None) -> Exported:
    """Behaviour tests into a folder for CheckList, cases with groups into a table for AIF360, with their answers.

    InputError: a suite of another family, something that is there already, or a report on other cases.
    """
    family = family_of(name)
    if family is not None and family.kind == "bias":
        return export_groups(name, path, report)
    if family is None or family.name != "checklist" or "?" in name:
        raise InputError(
            f"{name} is neither a suite of behaviour tests nor of groups",
            cure="name one such as checklist:checks.yaml or groups:loans.jsonl",
        )
    return export_checklist(name, path, root=root, report=report)


def export_groups(name: str, path: Path, report: Path | None) -> Exported:
    """Write a table and the JSON beside, of the scores that a `report` folder holds."""
    if report is None:
        raise InputError(f"{name} is exported with its answers", cure="give --report, a folder with its items.jsonl")
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"{path} ends neither in .csv nor in .parquet", cure="name such a file")
    if there := next((one for one in (path, path.with_suffix(".json")) if one.exists()), None):
        raise InputError(f"{there} is there already", cure="name another file, or remove it")
    scores = [score for score in read_items(report / "items.jsonl") if score.suite == suite_name(name)]
    cases = aif360.write_table(path, scores)
    return Exported(path=path, tests=0, cases=cases, predictions=cases)


def export_checklist(name: str, folder: Path, *, root: Path, report: Path | None) -> Exported:
    """Write raw.jsonl and tests.json, and predictions.txt where a `report` folder holds what was answered."""
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
    return Exported(path=folder, tests=tests, cases=len(suite.items), predictions=len(lines))


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
