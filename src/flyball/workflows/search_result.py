"""What a search found: as a document, as a page, and as an edit of flyball.yaml. I/O: flyball.yaml, .flyball/search."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from flyball.errors import ConfigError
from flyball.settings import FILE, read_yaml, with_kind
from flyball.whole_files import replace_file
from flyball.wiring import Project
from flyball.workflows.search import Search, best_values, suite_measure
from flyball.workflows.search_page import search_page
from flyball.workflows.search_study import Trial
from flyball.workflows.settings_edit import with_edits


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """flyball.yaml with the best recipe in it: its text, what changed by path, and the difference as a diff."""

    text: str
    changes: dict[str, Any]
    diff: str


def applied(project: Project, found: Search) -> Applied:
    """The best recipe of a search in today's flyball.yaml; ConfigError where its layout cannot be edited."""
    path = project.root / FILE
    before = path.read_text(encoding="utf-8")
    changes = best_values(found, with_kind(read_yaml(path)))
    after = with_edits(before, changes)
    lines = difflib.unified_diff(before.splitlines(True), after.splitlines(True), FILE, FILE, n=1)
    return Applied(text=after, changes=changes, diff="".join(lines))


def document_of(project: Project, found: Search) -> dict[str, Any]:
    """The search for programs; its page is written beside the study."""
    try:
        made = applied(project, found)
    except ConfigError as error:  # a layout that only a person can edit: the values are told all the same
        changes = best_values(found, with_kind(read_yaml(project.root / FILE)))
        made = Applied(text="", changes=changes, diff=error.cure)
    page = project.places.search / f"{found.name}.html"
    replace_file(page, search_page(found, made.diff).encode(), durable=False)
    return {
        "search": found.name,
        "ended": found.ended,
        "ranked_by": suite_measure(found),
        "direction": found.direction,
        "states": dict(Counter(trial.state for trial in found.trials)),
        "best": _plain(found.best),
        "as_is": _plain(found.as_is),
        "changes": made.changes,
        "diff": made.diff,
        "importances": found.importances,
        "page": str(page),
        "trials": [_plain(trial) for trial in found.trials],
    }


def _plain(trial: Trial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    return {
        "trial": trial.number,
        "values": dict(trial.values),
        "state": trial.state,
        "value": trial.value,
        "lower": trial.lower,
        "upper": trial.upper,
        "n": trial.n,
        "seconds": trial.seconds,
        "note": trial.note,
        "recipe": trial.recipe,
    }
