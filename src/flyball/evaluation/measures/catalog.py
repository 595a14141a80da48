"""Families of measures by the kind of suite that they score: a new one is one file and one line here."""

from __future__ import annotations

from flyball.evaluation.measures import (
    answers,
    bbq,
    bias,
    canaries,
    checklist,
    elsewhere,
    invariance,
    judged,
    labelled,
    likelihood,
    rated,
    real_toxicity_prompts,
    refusal,
    secrets,
    structured,
    tool_calls,
    toxicity,
    worked_number,
)
from flyball.evaluation.measures.family import Family

_FAMILIES = (
    answers.FAMILY,
    bbq.FAMILY,
    bias.FAMILY,
    canaries.FAMILY,
    checklist.FAMILY,
    elsewhere.FAMILY,
    invariance.FAMILY,
    judged.FAMILY,
    labelled.FAMILY,
    likelihood.TEXTS,
    likelihood.PAIRS,
    rated.FAMILY,
    real_toxicity_prompts.FAMILY,
    refusal.FAMILY,
    secrets.FAMILY,
    structured.FAMILY,
    tool_calls.FAMILY,
    toxicity.FAMILY,
    worked_number.FAMILY,
)
FAMILIES: dict[str, Family] = {family.kind: family for family in _FAMILIES}
