"""There is a whole folder at every moment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flyball.data import dataset_folder
from flyball.data.dataset_folder import replaced_folder
from flyball.errors import EnvironmentMissing


def written(folder: Path, text: str) -> None:
    with replaced_folder(folder) as partial:
        (partial / "a").write_text(text)


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_takes_the_place_of_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(dataset_folder, "_exchange", lambda one, other: False)
    written(tmp_path / "out", "first")
    written(tmp_path / "out", "second")
    assert (tmp_path / "out/a").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_was_removed_in_between_does_not_matter_and_a_full_disk_leaves_the_last_one(tmp_path: Path) -> None:
    written(tmp_path / "out", "first")
    with pytest.raises(EnvironmentMissing, match="No space left"), replaced_folder(tmp_path / "out") as partial:
        (partial / "a").write_text("half")
        raise OSError(28, "No space left on device")
    assert (tmp_path / "out/a").read_text() == "first"
    shutil.move(tmp_path / "out", tmp_path / ".out.old")  # killed between two renames
    written(tmp_path / "out", "next")
    assert (tmp_path / "out/a").read_text() == "next"
