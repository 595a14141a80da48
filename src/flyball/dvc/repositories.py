"""The git and DVC repositories around a project: what is there, and what has to be added. I/O: git, DVC."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from flyball.dvc.commands import QUIET
from flyball.errors import EnvironmentMissing, InputError


def check_programs() -> None:
    """Raise EnvironmentMissing unless git and DVC can be run."""
    if shutil.which("git") is None:
        raise EnvironmentMissing("git is not installed, or not on PATH", cure="install git, such as: apt install git")
    if importlib.util.find_spec("dvc") is None:
        raise EnvironmentMissing("DVC is not installed", cure='pip install "flyball[build,train]"')


def prepare_repository(root: Path) -> list[str]:
    """Make sure that git and DVC know this folder; what was added."""
    check_programs()
    done = []
    top = git_top(root)
    if top is None:
        subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
        done.append("a git repository")
        top = root
    if not has_dvc(root, top):
        run_dvc_init(root, [] if top == root else ["--subdir"])
        done.append("DVC")
    return done


def has_dvc(root: Path, top: Path | None) -> bool:
    """Whether a DVC repository inside the git repository at `top` covers this folder."""
    folders = [] if top is None else [folder for folder in (root, *root.parents) if folder.is_relative_to(top)]
    return any((folder / ".dvc").is_dir() for folder in folders)


def git_top(root: Path) -> Path | None:
    """The git repository that this folder belongs to; None when there is none, or it ignores the folder."""
    inside = subprocess.run(["git", "rev-parse", "--show-toplevel"], cwd=root, capture_output=True, text=True)
    ignored = subprocess.run(["git", "check-ignore", "--quiet", "."], cwd=root, capture_output=True)
    return None if inside.returncode != 0 or ignored.returncode == 0 else Path(inside.stdout.strip()).resolve()


def run_dvc_init(root: Path, flags: list[str]) -> None:
    environment = {**os.environ, **QUIET}
    for arguments in (
        ["init", *flags],
        ["config", "core.analytics", "false"],
        ["config", "core.check_update", "false"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments], cwd=root, env=environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            raise InputError(f"DVC refused {' '.join(arguments)}: {done.stderr.strip()}", cure="fix that first")
