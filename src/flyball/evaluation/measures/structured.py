"""Structured answers: whether one is JSON, of its schema, and has the expected fields. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measure_names import LATENCIES
from flyball.evaluation.measures.exact_fields import exact_fields, json_object, json_value
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.measures.json_schema import is_valid
from flyball.evaluation.suites.suite import Suite


def score(suite: Suite, answers: Mapping[str, Answer], _known: Known) -> Iterator[ItemScore]:
    """Scores of each case; a case without an answer scores 0 and keeps the reason."""
    for item in suite.items:
        answer = answers[item.key]
        error = answer.error
        is_json, value = (False, None) if error else json_value(answer.text)
        valid = is_json and is_valid(value, cast(dict[str, Any], item.data["schema"]))
        yield scored(suite, item, "valid_schema", float(valid), error=error)
        yield scored(suite, item, "valid_json", float(is_json), error=error)
        wanted = None if item.expected is None else json_object(item.expected)
        if wanted is not None:
            yield scored(suite, item, "exact_fields", 0.0 if error else exact_fields(answer.text, wanted), error=error)
        yield scored(suite, item, "latency_ms", answer.total_ms, error=error)


FAMILY = Family(
    kind="structured",
    score=score,
    measures=("valid_schema", "valid_json", "exact_fields", *LATENCIES),
    graded=("exact_fields",),
)
