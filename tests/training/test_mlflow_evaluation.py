"""Evaluations are in the MLflow run that trained the model, and nobody waits for them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
from mlflow.tracking import MlflowClient

from flyball.training.mlflow_evaluation import Tracked, log_evaluation
from flyball.training.mlflow_tracking import Tracker
from flyball.training.tracking_store import RUN_OF

MODEL, RUN = "m" * 64, "r" * 64


def document(uri: str, **changed: object) -> Tracked:
    base = Tracked(uri=uri, project="shop", model=MODEL, training_run=RUN, metrics={"test/accuracy": 0.8})
    return msgspec.structs.replace(base, **changed)


def trained(uri: str) -> str:
    tracker = Tracker(uri, project="shop", run_name="run")
    tracker.params({"steps": 30})
    tracker.tag(RUN_OF, RUN)
    tracker.finish("FINISHED")
    assert tracker.failure is None and tracker.run_id
    return tracker.run_id


def test_figures_and_verdict_are_logged_to_the_newest_run_that_trained_the_model(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    first, second = trained(uri), trained(uri)
    assert log_evaluation(document(uri, metrics={"test/accuracy": 0.8, "my suite/f(1)": 0.5})) == second != first
    assert log_evaluation(document(uri, metrics={}, tags={"flyball.gate": "pass"})) == second
    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(second)
    assert run.info.status == "FINISHED" and run.data.tags["flyball.gate"] == "pass"
    assert run.data.metrics["test/accuracy"] == 0.8 and run.data.metrics["my suite/f_1_"] == 0.5
    (point,) = client.get_metric_history(second, "test/accuracy")
    assert point.step == 30, "at the step whose weights were measured"
    best = client.search_runs(["1"], "metrics.`test/accuracy` > 0.7")
    assert [one.info.run_id for one in best] == [second], "as the comparison of runs asks"


def test_a_model_that_nobody_trained_here_has_one_run_of_its_evaluations(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    found = {log_evaluation(document(uri, training_run=run)) for run in (None, RUN, None)}
    assert len(found) == 1
    run = MlflowClient(tracking_uri=uri).get_run(found.pop())
    assert run.info.run_name == f"evaluation of model {MODEL[:12]}" and run.info.status == "FINISHED"


def program(tmp_path: Path, uri: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "flyball.training.mlflow_evaluation", str(tmp_path / "turn")],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"},
    )


def test_the_program_takes_turns_and_says_in_one_line_what_failed(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    given = [document(uri), document(uri, tags={"flyball.gate": "fail"}, metrics={})]
    running = [program(tmp_path, one.uri) for one in given]
    for process, one in zip(running, given, strict=True):
        assert process.stdin
        process.stdin.write(msgspec.json.encode(one))
        process.stdin.close()
    assert [process.wait(60) for process in running] == [0, 0]
    assert len(MlflowClient(tracking_uri=uri).search_runs(["1"])) == 1, "two at once make one run"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = program(tmp_path, uri)
        _, said = process.communicate(msgspec.json.encode(document(f"http://127.0.0.1:{silent.getsockname()[1]}")))
    assert process.returncode == 1 and said.decode().count("\n") == 1
    assert "failed, nothing else did" in said.decode()


def test_sending_waits_for_no_store(tmp_path: Path) -> None:
    from flyball.settings import parse_settings
    from flyball.wiring import Project
    from flyball.workflows.tracked_evaluation import send

    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = parse_settings(
            {
                "version": 1,
                "project": "shop",
                "data": {"sources": [{"path": "rows.jsonl"}]},
                "train": {"tracking": f"http://127.0.0.1:{silent.getsockname()[1]}"},
            }
        )
        project = Project(root=tmp_path, settings=settings)
        began = time.monotonic()
        process = send(project, MODEL, RUN, metrics={"test/accuracy": 0.8}, tags={})
        assert time.monotonic() - began < 2.0 and process is not None
        process.kill()
        process.wait()
