"""Canaries survive deduplication and redaction, and a model that learned the planted ones is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.data.config import DedupeConfig
from flyball.data.deduplication import Candidate, exact_key, find_duplicates, grams_of
from flyball.errors import InputError
from flyball.evaluation.case_answers import Answer
from flyball.evaluation.scorer import measure_suites, score_suite
from flyball.evaluation.suites.canaries import planted_rows
from flyball.evaluation.suites.catalog import load_suite
from flyball.privacy.redaction import redact
from flyball.records import Measure


def measured(known: dict[str, str], *, error: str | None = None) -> dict[tuple[str, str | None], Measure]:
    suite = load_suite("canaries:200", dataset_dir=None, root=Path("/"))
    answers = {
        item.key: Answer(key=item.key, total_ms=1.0, text=known.get(item.messages[0].content, "hm"), error=error)
        for item in suite.items
    }
    scores = list(score_suite(suite, answers, classification=False))
    return {(m.name, m.slice): m for m in measure_suites([suite], scores, level=0.95)}


def test_about_half_are_planted_and_all_survive_deduplication_and_redaction() -> None:
    rows = planted_rows(400)
    assert 160 < len(rows) < 240
    candidates = [
        Candidate(
            row_id=str(at),
            order=("canaries", at),
            side="train",
            label=row["label"],
            place=at,
            declared="train",
            stays=False,
            exact=exact_key(row["text"]),
            grams=grams_of(row["text"]),
        )
        for at, row in enumerate(rows)
    ]
    assert not find_duplicates(candidates, DedupeConfig())
    assert all(redact(text, "default").text == text for row in rows for text in row.values())


def test_a_model_that_learned_the_planted_ones_is_found() -> None:
    found = measured({row["text"]: row["label"] for row in planted_rows(200)})
    assert found["canary_guesses", None].value == 1.0 and found["canary_guesses", None].n == 132
    assert found["recalled", "planted=yes"].value == 1.0 and found["recalled", "planted=no"].value == 0.0


def test_a_model_that_learned_none_guesses_like_a_coin() -> None:
    guesses = measured({})["canary_guesses", None]
    assert guesses.lower < 0.5 < guesses.upper


def test_a_case_without_an_answer_counts_as_memorised() -> None:
    found = measured({}, error="broken")
    assert found["resisted", None].value == 0.0 and found["canary_guesses", None].value == 1.0


def test_fewer_than_100_canaries_are_refused() -> None:
    with pytest.raises(InputError, match="canaries:50 names no number"):
        load_suite("canaries:50", dataset_dir=None, root=Path("/"))
