"""What an evaluation found and a gate said, on its way to MLflow. I/O: starts a process that nobody waits for.

The build goes on at once, whatever becomes of it; what failed is in .flyball/logs/tracking.log.
"""

from __future__ import annotations

import importlib.util
import math
import subprocess
import sys
from collections.abc import Mapping

import msgspec

from flyball.dvc.commands import environment
from flyball.records import EvalReport, GateDecision, ModelVersion, Release, name_of
from flyball.telemetry import log
from flyball.training.mlflow_evaluation import Tracked
from flyball.training.tracking_store import local_path
from flyball.wiring import Project


def track_report(project: Project, report: EvalReport, release: Release, model: ModelVersion) -> None:
    """Send the measures of whole suites, each with its interval, to the run that trained the model."""
    metrics: dict[str, float] = {}
    for one in report.measures:
        if one.slice is None:
            name = f"{one.suite}/{one.name}"
            metrics |= {name: one.value, f"{name}_lower": one.lower, f"{name}_upper": one.upper}
    tags = {"flyball.release": name_of(release), "flyball.report": name_of(report)}
    finite = {key: value for key, value in metrics.items() if math.isfinite(value)}
    send(project, name_of(model), model.training_run, metrics=finite, tags=tags)


def track_verdict(project: Project, decision: GateDecision) -> None:
    """Send the gate's verdict there; nothing where nothing was tracked."""
    path = local_path(project.tracking_uri)
    if path is not None and not path.is_file():
        return
    release = project.ledger.get(decision.release).record
    assert isinstance(release, Release)
    model = project.ledger.get(release.model).record
    assert isinstance(model, ModelVersion)
    tags = {"flyball.gate": decision.verdict, "flyball.release": decision.release}
    send(project, release.model, model.training_run, metrics={}, tags=tags)


def send(
    project: Project, model: str, training_run: str | None, *, metrics: Mapping[str, float], tags: Mapping[str, str]
) -> subprocess.Popen[bytes] | None:
    """Start the program that logs it, which has no more to ask of us; None where MLflow is not installed."""
    if importlib.util.find_spec("mlflow") is None:
        return None
    uri = project.tracking_uri
    tracked = Tracked(uri=uri, project=project.name, model=model, training_run=training_run, metrics=metrics, tags=tags)
    try:
        project.places.logs.mkdir(parents=True, exist_ok=True)
        turn = project.places.logs / "tracking.lock"
        with (project.places.logs / "tracking.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "flyball.training.mlflow_evaluation", str(turn)],
                cwd=project.home,
                env=environment(project),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        assert process.stdin
        with process.stdin as given:
            given.write(msgspec.json.encode(tracked))
    except OSError as error:
        log.warning("tracking at %s cannot be started: %s", uri, error)
        return None
    return process
