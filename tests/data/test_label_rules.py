"""Labels that cannot be learned stop the stage; likely mistakes are said with the labels and their rows."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from flyball.data.dataset_warnings import read_warnings
from flyball.data.label_rules import doubts
from flyball.errors import InputError
from rows_on_disk import all_rows, build, rows, write_lines


def labelled(*labels: object) -> list[dict[str, object]]:
    """The usual rows, and six for each label given."""
    more = [
        {"text": f"case {n} of kind {k} {'uvwxyz'[n]}{k}", "label": label, "who": f"{k}-{n}"}
        for k, label in enumerate(labels)
        for n in range(6)
    ]
    return [*rows(60), *more]


def test_labels_in_two_unicode_forms_or_with_invisible_characters_are_one_label(tmp_path: Path) -> None:
    café, hidden = unicodedata.normalize("NFD", "café"), "ca\u200bfé\u00a0"
    version = build(write_lines(tmp_path / "a.jsonl", labelled("café", café, hidden)), tmp_path / "out")
    assert version.labels == ("a", "b", "café")
    assert sum(row.label == "café" for row in all_rows(tmp_path / "out")) == 18
    assert read_warnings(tmp_path / "out") == []


def test_homonyms_and_missing_values_are_said_with_their_labels_and_rows(tmp_path: Path) -> None:
    build(write_lines(tmp_path / "a.jsonl", labelled("US", "us", 1, 1.0, "nan", "None")), tmp_path / "out")
    said = " ".join(read_warnings(tmp_path / "out"))
    assert "'US' (6) and 'us' (6)" in said and "'1' (6) and '1.0' (6)" in said
    assert "look like missing values: 'None' (6), 'nan' (6)" in said


def test_nothing_is_said_of_ordinary_labels() -> None:
    assert list(doubts({"none": 3, "other": 2, "New York": 1, "v1": 4, "v1.0": 2, "é": 2, "e": 3})) == []


@pytest.mark.parametrize("marker", ["</s>", "<|end|>", "[INST] x", "<start_of_turn>", "<<SYS>>"])
def test_a_label_that_ends_an_answer_is_refused(tmp_path: Path, marker: str) -> None:
    with pytest.raises(InputError, match="markers of chat templates") as caught:
        build(write_lines(tmp_path / "a.jsonl", labelled(marker)), tmp_path / "out")
    assert repr(marker) in caught.value.message


def test_a_label_that_is_only_in_the_test_source_is_refused(tmp_path: Path) -> None:
    files = [write_lines(tmp_path / "a.jsonl", rows(60)), write_lines(tmp_path / "t.jsonl", labelled("new")[60:])]
    with pytest.raises(InputError, match=r"1 labels have no training row.*'new' \(6\)"):
        build(files, tmp_path / "out", splits=[None, "test"])


def test_a_label_of_one_group_is_learned_and_said_to_be_untested(tmp_path: Path) -> None:
    lines = [*rows(60), *[{"text": f"lone case {word}", "label": "lone", "who": "z"} for word in "uvwxyz"]]
    build(write_lines(tmp_path / "a.jsonl", lines), tmp_path / "out")
    assert any("1 labels have no test row" in said and "'lone'" in said for said in read_warnings(tmp_path / "out"))


def test_a_group_column_that_fills_a_side_is_said(tmp_path: Path) -> None:
    few = [{**row, "who": "p0" if n < 75 else f"q{n}"} for n, row in enumerate(rows(90))]
    build(write_lines(tmp_path / "a.jsonl", few), tmp_path / "out")
    said = " ".join(read_warnings(tmp_path / "out"))
    assert "data.split.test asks for 20%" in said and "groups, the largest of" in said and "who" in said
