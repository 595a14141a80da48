"""How much a dataset takes in: a small file must not cost minutes or gigabytes, and what is too much is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.data import dataset_stage, schema_inference, validation
from flyball.data.config import ValidateConfig
from flyball.data.erasure.dataset import rewrite_without
from flyball.data.rows import subject_hash
from flyball.data.schema_inference import first_rows
from flyball.errors import InputError
from rows_on_disk import build, rejects, rows, write_lines

KEY = bytes(range(32))


def test_more_rows_than_the_settings_allow_are_refused_by_name(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", rows(30))
    with pytest.raises(InputError, match=r"a\.jsonl has more rows than data\.max_rows \(29\)"):
        build(source, tmp_path / "out", max_rows=29)
    assert build(source, tmp_path / "out", max_rows=30).rows_in == 30


def test_a_file_of_rejects_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "EARLY_ROWS", 10_000)
    empty = write_lines(tmp_path / "empty.jsonl", [*rows(10), *[b"{}"] * 20_000, b"\xff"])
    with pytest.raises(InputError, match=r"9,9\d\d of its first 10,000 rows were dropped.*line 11 is missing field"):
        build(empty, tmp_path / "out", validate=ValidateConfig())
    broken = write_lines(tmp_path / "broken.jsonl", [b"x"] * 20_000)
    with pytest.raises(InputError, match="none of 10000 rows could be read; line 1 is malformed"):
        build(broken, tmp_path / "out", validate=ValidateConfig())


def test_of_many_rejects_each_is_counted_and_the_first_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_stage, "REJECTS_KEPT", 5)
    mine = {"text": "", "label": "a", "who": "p1"}
    source = write_lines(tmp_path / "a.jsonl", [mine, *rows(40), *[b"{"] * 20])
    version = build(source, tmp_path / "out")
    assert version.rows_in == 61 and version.dropped == {"malformed": 20, "too short": 1}
    assert [reject.line for reject in rejects(tmp_path / "out")] == [1, 42, 43, 44, 45]
    erased, _ = rewrite_without(tmp_path / "out", subject_hash(KEY, "p1"), tmp_path / "less", version, key=KEY)
    assert erased.dropped == {"malformed": 20}


def test_a_guess_holds_no_more_text_than_fits_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_lines(tmp_path / "a.jsonl", rows(100))
    assert len(first_rows(source)) == 100
    monkeypatch.setattr(schema_inference, "ROWS_CHARACTERS", 200)
    assert len(first_rows(source)) < 10
