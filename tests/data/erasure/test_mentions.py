"""Lines that name a person outside of the person's rows are told, and nobody else's name is taken for it."""

from __future__ import annotations

import json
from pathlib import Path

from flyball.data.config import Fields, SourceConfig
from flyball.data.erasure.mentions import MOST_LINES, mentions_in
from flyball.data.rows import subject_hash
from rows_on_disk import KEY


def mentions(path: Path, name: str, subject: str | None = "who") -> dict[str, object]:
    config = SourceConfig(path=path.name, fields=Fields(subject=subject))
    return mentions_in(path, config, name=name, subject=subject_hash(KEY, name), key=KEY)


def test_lines_and_columns_are_told_also_in_lists_and_where_no_column_says_whose_a_row_is(tmp_path: Path) -> None:
    rows = [
        {"text": "hello", "who": "anna"},
        {"text": "for anna.", "who": "bob", "by": {"all": ["anna", 3]}},
        {"text": "joanna", "who": "anna@x.org"},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert mentions(path, "anna") == {"rows": 1, "lines": [2], "columns": ["by", "text"]}
    assert mentions(path, "anna", None) == {"rows": 3, "lines": [1, 2, 3], "columns": ["by", "text", "who"]}
    assert mentions(path, "ghost") == {}


def test_a_short_name_or_number_counts_as_a_whole_value_only_and_lines_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"7 of {k}", "who": "p", "seen": "['7']"}) + "\n" for k in range(30)))
    found = mentions(path, "7")
    assert found == {"rows": 30, "lines": list(range(1, MOST_LINES + 1)), "columns": ["seen"]}
