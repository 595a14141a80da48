"""The error of the refusal detector, where answers are known not to be refusals."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from flyball.evaluation.measures.refusal import is_refusal
from flyball.statistics.intervals import clopper_pearson


@pytest.mark.realdata
def test_answers_that_people_wrote_are_taken_for_no_refusal() -> None:
    if not (data := os.environ.get("FLYBALL_DATA")):
        pytest.skip("FLYBALL_DATA names no folder")
    with gzip.open(Path(data) / "dolly_1k/dolly.jsonl.gz", "rt", encoding="utf-8") as file:
        answers = [json.loads(line)["response"] for line in file]
    right = sum(not is_refusal(answer) for answer in answers)
    lower, _ = clopper_pearson(right, len(answers), 0.95)
    assert len(answers) == 800 and lower > 0.99
