"""From answers, and from scores made elsewhere, to a report with its evidence. I/O: writes the report's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from flyball.errors import InputError
from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore, items_hash, write_items
from flyball.evaluation.measures.rated import notes_on
from flyball.evaluation.prepared_requests import changed_by_step
from flyball.evaluation.reports.answer_costs import Price
from flyball.evaluation.reports.details import details_of
from flyball.evaluation.reports.files import write_report
from flyball.evaluation.scorer import measure_suites, score_suite
from flyball.evaluation.suites.suite import Suite, bodies_of
from flyball.evaluation.training_overlap import Compared
from flyball.inference.prompt_path import PROMPT_PATH
from flyball.records import JSON, EvalReport, Preparation, ScoresFile
from flyball.records.identity import short
from flyball.telemetry import Progress

LEAST_DIGITS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured and how: the release, its labels, what its requests asked for, and what tokens cost."""

    project: str
    release: str
    dataset: str | None
    engine: str
    classification: bool
    labels: Sequence[str] = ()
    preparation: Preparation | None = None
    conditions: Mapping[str, JSON] = field(default_factory=dict)
    price: Price | None = None


def report_scores(
    suites: Sequence[Suite],
    answers: Mapping[str, Answer],
    measured: Measured,
    *,
    level: float,
    compared: Compared,
    ratings: Mapping[str, Answer],
    out: Path,
    progress: Progress,
) -> EvalReport:
    """Score the answers, and write items.jsonl and the report's files into `out`."""
    scores: list[ItemScore] = [
        score
        for suite in suites
        for score in score_suite(
            suite, answers, classification=measured.classification, labels=measured.labels, ratings=ratings
        )
    ]
    report = EvalReport(
        project=measured.project,
        release=measured.release,
        dataset=measured.dataset,
        suites=tuple(suite.reference() for suite in suites),
        measures=measure_suites(suites, scores, level=level),
        items_hash=items_hash(scores),
        failures=len({(score.suite, score.item) for score in scores if score.error}),
        engine=measured.engine,
        prompt_path=PROMPT_PATH,
        overlaps=compared.overlaps,
        elsewhere=files_of(suites, measured.release) or None,
    )
    progress("writing the report", 0, 0)
    write_items(out / "items.jsonl", scores)
    prepared = changed_by_step(bodies_of(suites).values(), measured.preparation)
    details = details_of(suites, scores, answers, prepared, measured.price)
    notes = (*details.notes, *compared.notes, *notes_on(suites, scores, ratings))
    conditions = dict(measured.conditions)
    details = msgspec.structs.replace(details, conditions=conditions, notes=notes, leaked=compared.cases)
    write_report(out, report, details, progress=progress)
    return report


def files_of(suites: Sequence[Suite], release: str) -> tuple[ScoresFile, ...]:
    """The files of scores made elsewhere; InputError where one says that it scored another release."""
    found = tuple(suite.elsewhere.about for suite in suites if suite.elsewhere)
    for one in found:
        said = one.release
        if said is not None and (len(said) < LEAST_DIGITS or not release.startswith(said)):
            raise InputError(
                f"{one.file} holds the scores of release {said!r}, and this is {short(release)}",
                cure=f"give the scores of this release, named by at least {LEAST_DIGITS} of its first digits",
            )
    return found
