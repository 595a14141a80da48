"""Packages in a virtual environment of their own, for those that need other versions than we do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest


def own_environment(folder: Path, *installs: Sequence[str]) -> Callable[[str], Any]:
    """Runs Python beside these packages, in `folder`, and gives its last line as JSON; a skip where one is not had."""
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    python = str(folder / "env" / "bin" / "python")
    for packages in installs:
        done = subprocess.run([python, "-m", "pip", "install", "-q", *packages], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"{' '.join(packages)} cannot be installed: {done.stderr[-300:]}")

    def run(script: str) -> Any:
        done = subprocess.run([python, "-c", script], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run
