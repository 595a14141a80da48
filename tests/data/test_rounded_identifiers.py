"""Identifiers that a spreadsheet has rounded stand for several people: they are refused, with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.data.config import Fields
from flyball.data.dataset_warnings import read_warnings
from flyball.errors import InputError
from flyball.records.identifiers import is_rounded
from rows_on_disk import build, rows, write_lines


@pytest.mark.parametrize("value", ["1.23457E+12", "1,23457E+12", "1E+15", "-4.1e+100", " 4.9158E+15 "])
def test_long_numbers_of_spreadsheets_are_told(value: str) -> None:
    assert is_rounded(value)


@pytest.mark.parametrize(
    "value", ["1234567890123", "E+12", "1E12", "12E+3", "a1.2E+12", "1.2E+12a", 1.23457e12, None, ""]
)
def test_other_identifiers_are_none(value: object) -> None:
    assert not is_rounded(value)


@pytest.mark.parametrize("role", ["subject", "group"])
def test_rounded_people_and_groups_are_refused_with_the_first_value_and_the_cure(tmp_path: Path, role: str) -> None:
    lines = [*rows(60), {"text": "one more", "label": "a", "who": "4.91580E+15"}]
    fields = Fields(text="text", label="label", **{role: "who"})
    with pytest.raises(
        InputError, match=r"who, mapped as .* in 1 of 61 rows, such as 4\.91580E\+15 in line 61"
    ) as error:
        build(write_lines(tmp_path / "a.jsonl", lines), tmp_path / "out", fields=fields)
    assert "as text" in error.value.cure


def test_rounded_keys_of_rows_are_a_warning(tmp_path: Path) -> None:
    lines = [{**row, "key": "1.23457E+12"} for row in rows(60)]
    fields = Fields(text="text", label="label", subject="who", id="key")
    build(write_lines(tmp_path / "a.jsonl", lines), tmp_path / "out", fields=fields)
    assert any(
        "1.23457E+12 in line 1" in said and said.startswith("a.jsonl: key") for said in read_warnings(tmp_path / "out")
    )
