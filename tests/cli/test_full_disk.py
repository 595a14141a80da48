"""A build that DVC gives up because the disk is full says that, whatever is left of what DVC said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flyball.dvc import commands
from flyball.errors import EnvironmentMissing


def test_dvc_that_ends_without_a_word_on_a_full_disk_is_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "dvc.log"
    said = "lost sys.stderr\nobject repr: OSError(28, 'No space left on device')\n"
    assert commands.reason_of_dvc("", log, 1).code == "dvc_failed"
    assert isinstance(commands.reason_of_dvc(said, log, 1), EnvironmentMissing)
    monkeypatch.setattr(commands, "FULL_BYTES", shutil.disk_usage(tmp_path).total + 1)
    full = commands.reason_of_dvc("", log, 1)
    assert isinstance(full, EnvironmentMissing) and "is full" in full.message
