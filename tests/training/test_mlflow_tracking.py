"""MLflow sees every run, and can neither stop nor slow training."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flyball.training import mlflow_tracking
from flyball.training.mlflow_model import write_mlflow_model
from flyball.training.mlflow_tracking import Tracker


def one_run(uri: str, name: str = "run", artifact: Path | None = None) -> Tracker:
    tracker = Tracker(uri, project="shop", run_name=name)
    tracker.params({"steps": 3, "size.layers": 2})
    tracker.dataset("d" * 64, ["train", "test"])
    for step in range(1, 4):
        tracker.point({"loss": 1.0 / step}, step)
    tracker.metrics({"validation_loss": 0.5, "loss": 0.34})
    tracker.finish("FINISHED", artifact=artifact)
    return tracker


def test_a_run_is_stored_with_recipe_curve_dataset_and_where_its_model_is(tmp_path):
    uri = f"sqlite:///{tmp_path}/state/mlflow.db"
    trained = tmp_path / "training"
    trained.mkdir()
    (trained / "weights.bin").write_text("first")
    tracker = one_run(uri, artifact=trained)
    assert tracker.failure is None
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"steps": "3", "size.layers": "2"}
    assert run.data.metrics["validation_loss"] == 0.5
    assert run.data.tags["flyball.artifact"] == str(trained)
    assert run.data.metrics["final_loss"] == 0.34 and run.data.metrics["system/peak_memory_mb"] > 0
    assert [(point.step, round(point.value, 3)) for point in client.get_metric_history(tracker.run_id, "loss")] == [
        (1, 1.0),
        (2, 0.5),
        (3, 0.333),
    ]
    (version,) = client.search_model_versions("name = 'shop'")
    assert version.run_id == tracker.run_id
    assert {given.dataset.name for given in run.inputs.dataset_inputs} == {"shop-train", "shop-test"}


def test_each_version_keeps_its_own_files_when_the_next_run_writes_others(tmp_path):
    from mlflow.artifacts import download_artifacts
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path}/state/mlflow.db"
    for text in ("first", "second"):
        trained = tmp_path / "training"
        shutil.rmtree(trained, ignore_errors=True)
        trained.mkdir()
        (trained / "weights.bin").write_text(text)
        assert one_run(uri, artifact=trained).failure is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state", "training"], "nothing is left beside them"
    versions = sorted(
        MlflowClient(tracking_uri=uri).search_model_versions("name = 'shop'"), key=lambda v: int(v.version)
    )
    found = [download_artifacts(artifact_uri=version.source, tracking_uri=uri) for version in versions]
    assert [(Path(folder) / "weights.bin").read_text() for folder in found] == ["first", "second"]


def test_a_transformers_folder_is_written_as_mlflow_loads_it(tmp_path):
    import yaml

    trained = tmp_path / "training"
    trained.mkdir()
    (trained / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (trained / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    for name in ("model.safetensors", "tokenizer.json", "curve.json"):
        (trained / name).write_text("{}")
    write_mlflow_model(trained, tmp_path / "out", run_id="r")
    said = yaml.safe_load((tmp_path / "out/MLmodel").read_text())["flavors"]["transformers"]
    assert (said["pipeline_model_type"], said["task"]) == ("LlamaForCausalLM", "text-generation")
    files = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert files == [
        *("components/tokenizer/tokenizer.json", "components/tokenizer/tokenizer_config.json"),
        *("model/config.json", "model/model.safetensors"),
    ]


def test_stores_opened_by_several_at_once_come_out_whole(tmp_path):
    uri, trained = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "training"
    trained.mkdir()
    with ThreadPoolExecutor(3) as pool:
        trackers = list(pool.map(lambda number: one_run(uri, f"run {number}", trained), range(3)))
    assert [tracker.failure for tracker in trackers] == [None, None, None]
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("select count(*) from runs where status = 'FINISHED'").fetchone() == (3,)
        assert database.execute("select count(*) from model_versions").fetchone() == (3,)
        assert database.execute("select count(*) from experiments where name = 'shop'").fetchone() == (1,)


def test_a_tracking_server_that_is_not_there_is_reported_and_forgotten():
    tracker = one_run("http://127.0.0.1:1")
    assert tracker.failure is not None


def test_a_tracking_server_that_never_answers_is_left_behind(monkeypatch):
    monkeypatch.setattr(mlflow_tracking, "PATIENCE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        tracker = Tracker(f"http://127.0.0.1:{silent.getsockname()[1]}", project="shop", run_name="run")
        for step in range(2000):
            tracker.point({"loss": 1.0}, step)
        tracker.finish("FINISHED")
        assert time.monotonic() - began < 5.0
    assert tracker.run_id is None


@pytest.mark.parametrize("uri", ["sqlite:////proc/no/such/mlflow.db", "nonsense://x"])
def test_a_store_that_cannot_be_opened_is_reported_and_forgotten(uri):
    assert one_run(uri).failure is not None


def test_the_work_is_done_by_a_thread_of_its_own(tmp_path):
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db", project="shop", run_name="run")
    assert any(thread.name == "tracking" and thread.daemon for thread in threading.enumerate())
    tracker.finish("KILLED")
