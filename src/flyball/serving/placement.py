"""Whether one more engine fits into this machine's memory, asked before anything starts. I/O: reads sizes."""

from __future__ import annotations

from pathlib import Path

import psutil

from flyball.errors import EnvironmentMissing
from flyball.records import Release
from flyball.serving.engines import model_file

PER_ENGINE_BYTES = 64 * 1_048_576
OVERHEAD = 1.2
"""Engines hold the file's weights, and more for the context of their slots."""


def needed_bytes(release: Release, artifact: Path, *, replicas: int) -> int:
    """About what the engines of a release will hold; nothing for a server that runs elsewhere."""
    if release.engine.kind == "openai":
        return 0
    size = model_file(artifact, release).stat().st_size
    return replicas * round(size * OVERHEAD + PER_ENGINE_BYTES)


def require_memory(release: Release, artifact: Path, *, replicas: int = 1, available: int | None = None) -> None:
    """EnvironmentMissing, with the choices, when the release does not fit beside what runs."""
    needed = needed_bytes(release, artifact, replicas=replicas)
    free = int(psutil.virtual_memory().available) if available is None else available
    if needed > free:
        raise EnvironmentMissing(
            f"the release needs about {needed / 1e6:,.0f} MB beside the live one, {free / 1e6:,.0f} MB are free",
            cure="choose: fewer serving.replicas; a smaller package.quantization; another host; or stop `flyball up` "
            "and deploy with nothing running, which is downtime",
        )
