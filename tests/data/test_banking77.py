"""Data that nobody here wrote: Banking77, with its own test side."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from rows_on_disk import build, everything, rejects

from flyball.data.config import Fields, SplitConfig
from flyball.data.duplicates import exact_key

FOLDER = Path(os.environ.get("FLYBALL_DATA", "/nonexistent")) / "banking77"

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="FLYBALL_DATA does not lead to banking77"),
]


def test_banking77_keeps_its_test_side_and_loses_only_explained_training_rows(tmp_path: Path) -> None:
    version = build(
        [FOLDER / "train.jsonl.gz", FOLDER / "test.jsonl"],
        tmp_path / "out",
        splits=["train", "test"],
        fields=Fields(text="text", label="category"),
        split=SplitConfig(validation=0.05, test=0.15),
    )
    sides = everything(tmp_path / "out")
    gone = rejects(tmp_path / "out")
    assert len(version.labels) == 77
    assert version.rows_in == sum(map(len, sides.values())) + len(gone)
    assert {row.source for row in sides["test"]} == {"test.jsonl"}
    lost_tests = [reject for reject in gone if reject.source == "test.jsonl"]
    assert {reject.reason for reject in lost_tests} <= {"exact duplicate"}
    assert len(lost_tests) < 5
    assert 0.03 < len(sides["validation"]) / (len(sides["train"]) + len(sides["validation"])) < 0.07
    assert len(gone) < 0.02 * version.rows_in
    test_texts = {exact_key(row.text) for row in sides["test"]}
    assert not [row for side in ("train", "validation") for row in sides[side] if exact_key(row.text) in test_texts]
    assert not [kind for kind in version.changed if kind.startswith("redact")], "its texts hold no personal data"
