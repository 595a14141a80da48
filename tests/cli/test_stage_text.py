"""What a stage says to people: how many rows were read, and what was dropped and why, always."""

from __future__ import annotations

import pytest

from flyball.cli.build import stage_text


@pytest.mark.parametrize(
    ("dropped", "told"), [({"malformed": 3, "no label": 1}, "3 malformed, 1 no label"), ({}, "none")]
)
def test_the_data_stage_says_what_was_dropped(dropped: dict[str, int], told: str) -> None:
    document = {"ran": [], "id": "x", "content": {"rows_in": 9, "dropped": dropped}}
    text = stage_text(document)
    assert "rows read" in text and told in text
