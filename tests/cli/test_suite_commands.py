"""`flyball suite`: families by name, and one suite as it is read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from flyball.cli.main import run


def test_the_list_names_each_family_once(capsys: pytest.CaptureFixture[str]) -> None:
    from flyball.evaluation.suites.catalog import FAMILIES

    assert run(["suite", "list", "--json"]) == 0
    rows = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["family"] for row in rows] == sorted(FAMILIES)


def test_a_suite_is_shown_as_it_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text('{"text": "one", "label": "a"}\n{"text": "two", "label": "b"}\n{"text": "two", "label": "b"}\n')
    assert run(["suite", "show", str(path), "--json"]) == 0
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert (shown["cases"], shown["with_expected"], shown["first_asks"]) == (2, 2, "one")
    assert "1 of 3 rows repeat" in shown["notes"]


def test_a_missing_suite_ends_with_4(tmp_path: Path) -> None:
    assert run(["suite", "show", str(tmp_path / "none.jsonl")]) == 4
