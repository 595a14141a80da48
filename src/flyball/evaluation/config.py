"""Settings of the evaluation stage, and the names of suites and measures that gate rules may use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from flyball.evaluation.measure_names import ALWAYS, FREE, INVARIANCE, LABELLED, UNANSWERED


class EvaluateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which suites are run against the packaged model in its engine."""

    suites: Annotated[
        tuple[str, ...],
        Meta(
            description="`test`: the held-out rows; `invariance`: edits that must not change the answer; "
            "`counterfactual`: the rows about somebody else; a file of cases; or FAMILY:FILE."
        ),
    ] = ("test", "invariance")
    max_items: Annotated[int, Meta(ge=1, description="A seeded sample of each suite; null: all.")] | None = None
    level: Annotated[
        float, Meta(gt=0.5, lt=1, description="Confidence level of the two-sided intervals in the report.")
    ] = 0.95
    concurrency: Annotated[int, Meta(ge=1, description="Cases asked at once.")] = 4


def known_measures(kind: str, *, classification: bool, expects: bool = True) -> Sequence[str]:
    """The measures of a suite of this kind; `expects`: it has expected answers."""
    if kind == "answer":
        return (LABELLED if classification else FREE) if expects else UNANSWERED
    if kind == "invariance":
        return (*INVARIANCE, *ALWAYS)
    from flyball.evaluation.measures.catalog import FAMILIES  # only where such a suite is named: it loads them all

    return (*FAMILIES[kind].measures, *ALWAYS)


def suite_kind(name: str) -> str:
    """The kind of measures that a suite of this name gets; InputError where its family is not known."""
    if ":" not in name:
        return "invariance" if name in ("invariance", "counterfactual") else "answer"
    from flyball.evaluation.suites.catalog import family_of  # only where such a suite is named: it loads them all

    family = family_of(name)
    return "answer" if family is None else family.kind
