"""Artefacts that nothing reaches any more, and their removal. I/O: the artefact store, the ledger, engine files.

Reached is what a release in the ledger names (so what a report, a route or a rollout names), the build as it stands,
the adapter of flyball.yaml, what an alias names, and what an engine has loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flyball.records import Release, name_of
from flyball.records.record_files import read_document
from flyball.serving.engine_processes import running_engines
from flyball.storage.signatures import signature_path
from flyball.wiring import Project
from flyball.workflows.aliases import aliases_of
from flyball.workflows.build_lock import only_one

_YOUNG_S = 3_600
"""An import stores the files before the release: what is younger is left alone."""
_ALL = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Unused:
    """One artefact that nothing reaches, and how many bytes of the disk its removal frees."""

    model: str
    size_bytes: int
    removed: bool


def unused_models(
    project: Project, *, remove: bool, wait: bool, say: Callable[[str], None], now_s: float | None = None
) -> list[Unused]:
    """What nothing reaches; removed only where that is asked for. No build runs meanwhile."""
    now = time.time() if now_s is None else now_s
    with only_one(project.places.run / "build.lock", what="a build", wait=wait, say=say):
        kept = reached(project)
        found = []
        for name in project.artifacts.names():
            folder = project.artifacts.path(name)
            if name in kept or now - folder.stat().st_mtime < _YOUNG_S:
                continue
            size = freed_bytes(folder)
            if remove:
                project.artifacts.delete(name)
                signature_path(project.artifacts, name).unlink(missing_ok=True)
            found.append(Unused(model=name, size_bytes=size, removed=remove))
        return found


def reached(project: Project) -> set[str]:
    """The names of all artefacts that something may still load."""
    kept = {project.settings.release.adapter or "", *aliases_of(project).values()}
    for stored in project.ledger.find(Release, limit=_ALL):
        if isinstance(stored.record, Release):
            kept |= {stored.record.model, stored.record.artifact, stored.record.adapter or ""}
    built = project.places.model / "record.json"
    if built.is_file():
        kept.add(name_of(read_document(built)[0]))
    for engine in running_engines(project.places.run):
        loaded = Path(engine.model)
        if loaded.is_relative_to(project.places.artifacts):
            kept.add(loaded.relative_to(project.places.artifacts).parts[0])
    return kept


def freed_bytes(folder: Path) -> int:
    """Bytes that go with a folder: those of files that have no other name."""
    states = (path.stat() for path in folder.rglob("*") if path.is_file())
    return sum(state.st_size for state in states if state.st_nlink == 1)
