"""What a stage says to people: how many rows were read, and what was dropped and why, always."""

from __future__ import annotations

import click
import pytest

from flyball.cli.build import place_of, stage_text
from flyball.data.rows import Reject


@pytest.mark.parametrize(
    ("dropped", "told"), [({"malformed": 3, "no label": 1}, "3 malformed, 1 no label"), ({}, "none")]
)
def test_the_data_stage_says_what_was_dropped(dropped: dict[str, int], told: str) -> None:
    document = {"ran": [], "id": "x", "content": {"rows_in": 9, "dropped": dropped}}
    text = stage_text(document)
    assert "rows read" in text and told in text


def test_the_data_stage_says_how_sources_were_read_and_where_the_first_dropped_rows_are() -> None:
    content = {
        "rows_in": 9,
        "dropped": {"no label": 2},
        "changed": {"markup": 4},
    }
    first = place_of(
        Reject(row_id=None, source="t.csv", line=7, reason="no label", detail="kind is empty", subject=None)
    )
    read_as = {"t.csv": "delimited text, delimiter ';', quote \", encoding cp1252"}
    text = stage_text({"ran": [], "content": content, "read_as": read_as, "first_dropped": {"no label": first}})
    said = {" ".join(line.split()) for line in click.unstyle(text).splitlines()}
    assert said >= {
        "t.csv is read as delimited text, delimiter ';', quote \", encoding cp1252",
        "dropped 2 no label",
        "first no label t.csv line 7: kind is empty",
        "changed 4 markup",
    }
