"""A file of rows is understood well enough to begin with, and every guess is explained."""

from __future__ import annotations

from pathlib import Path

import pytest
from rows_on_disk import write_lines

from flyball.data.sample import write_tickets
from flyball.data.schema_inference import Guess, guess
from flyball.errors import InputError


def columns(found: Guess) -> dict[str, str]:
    return {field.role: field.column for field in found.fields}


def test_the_sample_tickets_are_a_classification_of_customers_rows(tmp_path: Path) -> None:
    write_tickets(tmp_path / "tickets.jsonl", rows=1500)
    found = guess(tmp_path / "tickets.jsonl")
    assert found.task == "classification"
    assert columns(found) == {"text": "text", "label": "intent", "subject": "customer_id", "id": "id"}
    assert all(field.explanation for field in found.fields)
    assert any("cannot be read" in line for line in found.explanations)
    assert any("customer_id" in line for line in found.explanations)


def test_free_answers_make_a_chat(tmp_path: Path) -> None:
    asked = [
        {
            "instruction": f"how do I mend thing number {n} of mine",
            "context": "",
            "response": f"you take tool {n} and turn",
        }
        for n in range(50)
    ]
    found = guess(write_lines(tmp_path / "a.jsonl", asked))
    assert found.task == "chat"
    assert columns(found) == {"text": "instruction", "label": "response"}


def test_a_test_file_beside_a_training_file_is_seen(tmp_path: Path) -> None:
    lines = [{"text": f"words and more words {n}", "category": "ab"[n % 2]} for n in range(40)]
    write_lines(tmp_path / "test.jsonl", lines)
    found = guess(write_lines(tmp_path / "train.jsonl.gz", lines))
    assert columns(found) == {"text": "text", "label": "category"}
    assert any("test.jsonl lies beside it" in line for line in found.explanations)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "it has no rows"),
        ([b"nope"], "none of the first 1 rows could be read; line 1 is malformed"),
        (
            [{"messages": [{"role": "user"}], "n": 3}],
            r"no column looks like text; fields seen: messages \(list\), n \(int\)",
        ),
    ],
)
def test_what_cannot_be_understood_is_explained_with_the_fields_seen(
    tmp_path: Path, lines: list[dict[str, object] | bytes], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        guess(write_lines(tmp_path / "a.jsonl", lines))
    assert caught.value.cure
