"""One person has one identifier, however files and clients write it; what names nobody is nobody."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import InputError
from flyball.records.identifiers import NOBODY, canonical_identifier

ID = uuid.UUID("12345678-1234-5678-9234-567812345678")


@pytest.mark.parametrize(
    "value",
    [1005, "1005", " 1005 ", "1005.0", "1005.", 1005.0, Decimal("1005"), Decimal("1005.00"),
     b"1005", "\ufeff1005\u200b", {"$numberLong": "1005"}]
)  # fmt: skip
def test_every_spelling_of_a_number_is_one_person(value: object) -> None:
    assert canonical_identifier(value) == "1005"


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), Decimal("NaN"), " ", b"", *sorted(NOBODY)])
def test_a_missing_value_is_nobody_however_a_program_writes_it(value: object) -> None:
    assert canonical_identifier(value) is None


@pytest.mark.parametrize("text", ["007", "007.0", "1.5", "1.2.0", "C0042", "Nan", "none", "org/ann", "u7", "1e5", "x²"])
def test_what_only_looks_like_a_number_stays_as_it_is(text: str) -> None:
    assert canonical_identifier(text) == text


def test_numbers_without_an_end_are_written_out() -> None:
    assert canonical_identifier(1e15) == "1000000000000000"
    assert canonical_identifier(1.5) == canonical_identifier(Decimal("1.50")) == "1.5"


def test_other_types_of_databases_have_their_usual_text() -> None:
    assert canonical_identifier(ID.bytes) == canonical_identifier(ID) == str(ID)
    assert canonical_identifier(b"\xff\x01") == "ff01"
    assert canonical_identifier({"$oid": "5f1d"}) == "5f1d"
    assert canonical_identifier(datetime.date(2024, 1, 2)) == "2024-01-02"


def test_letters_composed_and_decomposed_are_one_person() -> None:
    assert canonical_identifier("Jose\u0301") == canonical_identifier("Jos\u00e9")


@pytest.mark.parametrize("value", [[1], {"a": 1}, {}, object()])
def test_what_can_be_no_identifier_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="is not an identifier"):
        canonical_identifier(value)


@given(st.text())
def test_the_form_of_a_form_is_itself(text: str) -> None:
    once = canonical_identifier(text)
    assert once is None or canonical_identifier(once) == once
