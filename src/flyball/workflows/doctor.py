"""`flyball doctor`: what this machine and project have, and the cure for what they lack. I/O: looks at both."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flyball.engines.catalog import LINEAR
from flyball.errors import CorruptionError, FlyballError
from flyball.wiring import Project, open_project

EXTRAS = {
    "build": ("dvc", "mlflow", "polars", "pyarrow"),
    "train": ("torch", "transformers", "tokenizers", "safetensors", "gguf", "sklearn"),
    LINEAR.name: ("onnxruntime",),
    "postgres": ("psycopg",),
    "console": ("vl_convert",),
}


def check(folder: Path) -> list[dict[str, Any]]:
    """One row per check: check, ok, detail, cure."""
    rows = [
        row("python", sys.version_info >= (3, 11), sys.version.split()[0], "install Python 3.11 or newer"),
        row("git", shutil.which("git") is not None, shutil.which("git") or "not found", "install git"),
        disk(folder),
        *(extra(name, modules) for name, modules in EXTRAS.items()),
    ]
    try:
        project = open_project(folder)
    except FlyballError as error:
        return [*rows, row("project", False, error.message, error.cure)]
    return [*rows, *(attempt(name, action, project) for name, action in PROJECT_CHECKS.items())]


def row(name: str, ok: bool, detail: str, cure: str) -> dict[str, Any]:
    return {"check": name, "ok": ok, "detail": detail, "cure": "" if ok else cure}


def disk(folder: Path) -> dict[str, Any]:
    free_gb = shutil.disk_usage(folder).free / 1e9
    return row("disk", free_gb > 1, f"{free_gb:.1f} GB free", "free some space")


def extra(name: str, modules: tuple[str, ...]) -> dict[str, Any]:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    detail = f"without {', '.join(missing)}" if missing else "installed"
    return row(f"extra {name}", not missing, detail, f'pip install "flyball[{name}]"')


def attempt(name: str, action: Callable[[Project], str], project: Project) -> dict[str, Any]:
    try:
        return row(name, True, action(project), "")
    except FlyballError as error:
        return row(name, False, error.message, error.cure)


def ledger(project: Project) -> str:
    """Every record still reads as what its name says."""
    from flyball.records import KINDS, name_of

    count = 0
    for kind in KINDS.values():
        after = 0
        while found := project.ledger.find(kind, limit=500, after_seq=after, newest_first=False):
            for stored in found:
                if name_of(stored.record) != stored.id:
                    raise CorruptionError(f"record {stored.id} does not match its name", cure="restore a backup")
            count += len(found)
            after = found[-1].seq
    return f"{count} records, all match their names"


def project_key(project: Project) -> str:
    return "readable, mode 0600" if project.key else ""


def chain(project: Project) -> str:
    from flyball.security import audit

    return f"{audit.verify(project.ledger)} audit entries, chain intact"


def models(project: Project) -> str:
    """Every packaged model that a release may load is whole."""
    from flyball.records import ModelVersion

    present = set(project.artifacts.names())
    checked = 0
    for stored in project.ledger.find(ModelVersion, limit=1000):
        if stored.id in present and isinstance(stored.record, ModelVersion):
            try:
                project.artifacts.verify(stored.id, stored.record.files)
            except CorruptionError as error:
                folder = project.artifacts.path(stored.id).relative_to(project.root)
                cure = f"rm -r {folder}, then `flyball run` puts it there again (an older model: check its commit out)"
                raise CorruptionError(f"{folder}: {error.message}", cure=cure) from error
            checked += 1
    return f"{checked} packaged models match their hashes"


def outputs(project: Project) -> str:
    """The model in loop/ is the one that its record speaks of."""
    if not (project.places.model / "record.json").is_file():
        return "nothing built yet"
    return f"loop/model: {verify_model(project)} files match their hashes"


def verify_model(project: Project) -> int:
    """Raise CorruptionError, naming the file, unless loop/model is what its record says; how many files it has."""
    from flyball.records import ModelVersion
    from flyball.records.record_files import read_document
    from flyball.storage.artifacts import ArtifactStore

    folder = project.places.model
    record, _ = read_document(folder / "record.json")
    assert isinstance(record, ModelVersion)
    try:
        ArtifactStore(project.places.loop).verify(folder.name, record.files)
    except CorruptionError as error:
        raise CorruptionError(
            f"loop/model: {error.message}", cure="run `flyball package`, which restores it"
        ) from error
    return len(record.files)


PROJECT_CHECKS: dict[str, Callable[[Project], str]] = {
    "project key": project_key,
    "ledger": ledger,
    "audit log": chain,
    "models": models,
    "build outputs": outputs,
}
