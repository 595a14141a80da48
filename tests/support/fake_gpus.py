"""An nvidia-smi that says what a test wants, first on the PATH."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

GIB = 1_073_741_824


def fake_gpus(
    folder: Path, monkeypatch: pytest.MonkeyPatch, gpus: Sequence[tuple[int, int]], *, script: str = ""
) -> None:
    """GPUs by their memory and what of it is free, in GiB; or a script of another behaviour."""
    lines = [f"echo {n}, GPU-aa0{n}, {total * 1024}, {free * 1024}" for n, (total, free) in enumerate(gpus)]
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir(exist_ok=True)
    program.write_text("\n".join(["#!/bin/sh", script or "\n".join(lines)]) + "\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
