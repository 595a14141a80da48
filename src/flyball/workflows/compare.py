"""Compare evaluations of releases or of servers, from kept reports. I/O: reads reports, ledger, suites' files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.errors import CorruptionError, FlyballError, NotFoundError
from flyball.evaluation.comparison import Comparison, Measured, check_alike, compare, what_differs
from flyball.evaluation.item_scores import items_hash, read_items
from flyball.evaluation.reports.details import brief
from flyball.evaluation.reports.files import read_report
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.suites.suite import Suite
from flyball.records import EvalReport, Release
from flyball.records.identity import short
from flyball.telemetry import Progress, quiet

if TYPE_CHECKING:
    from flyball.storage.ledger import Ledger
    from flyball.wiring import Project

Texts = dict[tuple[str, str], str]


def compare_reports(
    names: Sequence[str],
    *,
    suites: Sequence[str],
    opened: Callable[[], Project],
    judge: str | None = None,
    progress: Progress = quiet,
) -> tuple[Comparison, ...]:
    """Each of `names` against the first; `opened` gives the project, which report folders alone do not need.

    `judge`: the name of one in judges/, or a URL, that says which of two stored answers is better.
    """
    project = None if all(is_report_path(name) for name in names) else opened()
    candidates = [measured_under(project, name) for name in names]
    first, *others = alike(candidates)
    texts = texts_of(project, suites, [first, *others])
    if judge is None:
        return tuple(compare(first, other, texts=texts) for other in others)
    from flyball.workflows.evaluate_url import access_of  # HTTP loads with it
    from flyball.workflows.judged_comparison import judge_named, judged_pair

    access = project.way(None) if project else access_of(api_key=None, headers=())
    asked = judge_named(judge, project.root if project else Path.cwd(), access)
    pairs = [judged_pair(first, other, asked, access=access, progress=progress) for other in others]
    return tuple(compare(*pair, texts=texts) for pair in pairs)


def is_report_path(name: str) -> bool:
    """Whether a report is meant by its place on disk."""
    return Path(name).exists() or name.endswith("report.json")


def alike(candidates: Sequence[Sequence[Measured]]) -> list[Measured]:
    """One report of each, the newest that were measured on the same cases; InputError says where none were."""
    for first in candidates[0]:
        others = [
            next((one for one in reports if not what_differs(first.report, one.report)), None)
            for reports in candidates[1:]
        ]
        found = [one for one in others if one is not None]
        if len(found) == len(others):
            return [first, *found]
    for reports in candidates[1:]:
        check_alike(candidates[0][0], reports[0])
    return [reports[0] for reports in candidates]


def measured_under(project: Project | None, name: str) -> list[Measured]:
    """The evaluations that a name stands for, newest first: a folder or report.json, a report, or a release."""
    if project is None or is_report_path(name):
        return [read_measured(Path(name), name)]
    reports = reports_named(project.ledger, name)
    kept = [one for one in reports if (project.places.reports / one / "items.jsonl").is_file()]
    if not kept:
        cure = f"flyball evaluate {name}"
        if reports:
            raise NotFoundError(f"the scores of report {short(reports[0])} are not on this machine", cure=cure)
        raise NotFoundError(f"release {name} was not measured yet", cure=cure)
    return [read_measured(project.places.reports / one, short(name)) for one in kept]


def reports_named(ledger: Ledger, name: str) -> list[str]:
    """Names of reports: this one, or those on a release, newest first."""
    stored = ledger.get(name)
    if isinstance(stored.record, EvalReport):
        return [stored.id]
    if not isinstance(stored.record, Release):
        raise NotFoundError(f"{name} is neither a release nor a report", cure="see `flyball models`")
    found = [ledger.get(edge.child) for edge in ledger.children(stored.id) if edge.relation == "release"]
    reports = [one for one in found if isinstance(one.record, EvalReport)]
    return [one.id for one in sorted(reports, key=lambda one: one.seq, reverse=True)]


def read_measured(path: Path, name: str) -> Measured:
    """A report with the scores that it was made from."""
    folder = path.parent if path.name == "report.json" else path
    document = read_report(folder / "report.json")
    items = read_items(folder / "items.jsonl")
    if items_hash(items) != document.report.items_hash:
        raise CorruptionError(
            f"{folder / 'items.jsonl'} does not hold the scores of the report beside it", cure="evaluate again"
        )
    return Measured(name=name, report=document.report, items=items, details=document.details, folder=folder)


def texts_of(project: Project | None, suites: Sequence[str], measured: Sequence[Measured]) -> Texts:
    """Redacted texts by suite and case: from the suites' files where they are unchanged, else the reports' examples."""
    texts: Texts = {}
    for one in measured:
        for example in (*one.details.examples, *one.details.label_examples):
            texts[example.suite, example.item] = example.text
    wanted = {suite.name: suite.fingerprint for suite in measured[0].report.suites}
    for suite in loaded(project, suites):
        if wanted.get(suite.name) == suite.reference().fingerprint:
            for item in suite.items:
                texts[suite.name, item.id] = brief([item.messages[-1].content, *item.follow_ups][-1])
    return texts


def loaded(project: Project | None, suites: Sequence[str]) -> Iterator[Suite]:
    """Suites of the command line, then those of the project that can still be read."""
    for name in suites:
        yield load_suite(name, dataset_dir=None, root=Path.cwd())
    if project is None:
        return
    config = project.settings.evaluate
    for name in config.suites:
        try:
            yield load_suite(name, dataset_dir=project.places.dataset, root=project.root, max_items=config.max_items)
        except (FlyballError, OSError):  # gone or changed since: the differences need no texts
            continue
