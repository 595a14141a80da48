"""Data that nobody here wrote: Banking77, with its own test side."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from flyball.data.cleaning import preparation_of
from flyball.data.config import CleanConfig, Fields, SplitConfig
from flyball.data.deduplication import exact_key
from flyball.inference.prompt_path import PromptPath
from rows_on_disk import build, everything, rejects
from tiny_gguf import tiny_release

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
    release = replace(tiny_release(), input_redaction="default", preparation=PREPARED)
    path, raw = PromptPath(release), dict(enumerate(raw_texts(FOLDER / "test.jsonl"), 1))
    for row in sides["test"]:
        (message,) = path.engine_request({"messages": [{"role": "user", "content": raw[row.line]}]}).body["messages"]
        assert message["content"] == row.text


PREPARED = preparation_of(CleanConfig(), task="classification", markup=False)


def raw_texts(path: Path) -> list[str]:
    """The texts as they stand in the file, before any cleaning."""
    return [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]
