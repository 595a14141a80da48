"""The MLflow store that a project's runs are in: a file on this disk, or a server. I/O: opens and makes it.

Nothing leaves this machine but for a server that the project names; a store that is cut short while it is made was
never there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flyball.whole_files import held

RUN_OF = "flyball.training_run"
"""The tag of a run that names the TrainingRun that it made: evaluations are logged to the run that has it."""


def open_store(uri: str, project: str) -> tuple[Any, str]:
    """A client of the store, and the id of the project's experiment there, which is made where it is missing."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read by mlflow on import: nothing leaves this machine
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow.tracking import MlflowClient  # heavy, and wanted only while something is tracked

    for name in ("alembic", "mlflow", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with local_lock(uri):
        create_whole(uri)
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(project)
        return client, found.experiment_id if found else client.create_experiment(project, **_place(uri))


def _place(uri: str) -> dict[str, str]:
    """Where a local store keeps artefacts: beside it, never in the folder one happens to be in."""
    path = local_path(uri)
    return {"artifact_location": (path.parent / "mlartifacts").as_uri()} if path else {}


@contextmanager
def local_lock(uri: str) -> Iterator[None]:
    """Only one process at a time may open (and so create or migrate) a local store; a server has locks of its own."""
    path = local_path(uri)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with held(path.with_name(f"{path.name}.lock")):
        yield


def create_whole(uri: str) -> None:
    """Make a local store that is not there yet, beside its place: one cut short could never be opened again."""
    path = local_path(uri)
    if path is None or path.exists():
        return
    from mlflow.tracking import MlflowClient  # heavy, and wanted only while something is tracked

    beginning = path.with_name(f".{path.name}.new")
    beginning.unlink(missing_ok=True)
    try:
        MlflowClient(tracking_uri=f"sqlite:///{beginning}").search_experiments(max_results=1)
        beginning.replace(path)
    finally:
        beginning.unlink(missing_ok=True)


def local_path(uri: str) -> Path | None:
    """The file of a SQLite store; None for a server."""
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None
