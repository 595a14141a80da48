"""One project, built once for all tests of the command line, and copies of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from built_folders import built_folder
from small_shop import make_small_shop, ok


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project after `flyball run`; tests that change it work on copies."""
    return built_folder("cli", build, tmp_path_factory.mktemp("cli") / "built", recipe=__file__) / "shop"


def build(folder: Path) -> None:
    folder.mkdir()
    root = make_small_shop(folder, rows=300)
    settings = (root / "flyball.yaml").read_text()
    (root / "flyball.yaml").write_text(
        settings.replace("steps: 120", "steps: 30").replace("at_least: 0.05", "at_least: 0.0")
    )
    ok("run", cwd=root)


@pytest.fixture
def shop(built_once: Path, tmp_path: Path) -> Path:
    """A copy of the built project."""
    target = tmp_path / "shop"
    shutil.copytree(built_once, target, symlinks=True)
    return target
