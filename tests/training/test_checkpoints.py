"""A training that is killed, interrupted or out of disk goes on to the same bits; a damaged checkpoint is no danger."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import torch

from flyball.records import DatasetVersion, TrainingRun, fingerprint
from flyball.telemetry import quiet
from flyball.training import checkpoints
from flyball.training.checkpoints import Checkpoints
from flyball.training.training_run import train
from small_models import RECIPE, rows, write_dataset

SUPPORT = Path(__file__).parents[1] / "support"
OFTEN = msgspec.structs.replace(RECIPE, steps=60, checkpoint_every_s=1e-6)
PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_checkpoints import OFTEN, run
from small_models import rows, write_dataset
from flyball.records import parse
root = Path(sys.argv[2])
run(root, write_dataset(root / "dataset", rows(200, seed=1), rows(40, seed=2)))
"""


def run(root: Path, dataset: DatasetVersion, *, out: str = "training", keep: bool = True) -> TrainingRun:
    return train(
        OFTEN,
        project="shop",
        task="classification",
        dataset=dataset,
        dataset_dir=root / "dataset",
        base_dir=None,
        out=root / out,
        tracking_uri=f"sqlite:///{root}/mlflow.db",
        progress=quiet,
        checkpoints_dir=root / "checkpoints" if keep else None,
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """The training without a break and without checkpoints."""
    root = tmp_path_factory.mktemp("unbroken")
    return run(root, write_dataset(root / "dataset", rows(200, seed=1), rows(40, seed=2)), keep=False)


def start(root: Path) -> subprocess.Popen[bytes]:
    folders = os.pathsep.join([str(Path(__file__).parent), str(SUPPORT)])
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(SUPPORT), str(root)],
        env={**os.environ, "PYTHONPATH": folders},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def newest_step(root: Path) -> int:
    found = sorted((root / "checkpoints").glob("*/step-*.safetensors"))
    return int(found[-1].name.split("-")[1]) if found else 0


def stop_after(root: Path, step: int, number: signal.Signals) -> str:
    """Begin the training in a process of its own, send it a signal once that step is kept; what it said."""
    process = start(root)
    end = time.monotonic() + 90
    while newest_step(root) < step and process.poll() is None:
        assert time.monotonic() < end, "it never got there"
        time.sleep(0.002)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode != 0, f"it ended before the signal: {said}"
    return said


def test_kill_9_at_any_moment_changes_no_bit(tmp_path: Path, unbroken: TrainingRun) -> None:
    choose = random.Random(4)
    first, second = sorted(choose.sample(range(2, 45), 2))
    stop_after(tmp_path, first, signal.SIGKILL)
    assert not (tmp_path / "training").exists()
    stop_after(tmp_path, second, signal.SIGKILL)
    kept = list((tmp_path / "checkpoints").glob("*/step-*.safetensors"))
    assert 1 <= len(kept) <= checkpoints.KEPT + 1
    dataset = write_dataset(tmp_path / "dataset", rows(200, seed=1), rows(40, seed=2))
    resumed = run(tmp_path, dataset)
    assert fingerprint(resumed) == fingerprint(unbroken) and resumed.weights_hash == unbroken.weights_hash
    assert not any((tmp_path / "checkpoints").iterdir())


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    said = stop_after(tmp_path, 5, signal.SIGINT)
    assert "the same command goes on there" in said and newest_step(tmp_path) >= 5
    assert not (tmp_path / "training").exists()


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = Checkpoints(tmp_path, "a", every_s=1)
    for step in (1, 2, 3):
        assert kept.save(step, {"random": torch.arange(step)})
    files = sorted((tmp_path / "a").glob("step-*.safetensors"))
    assert len(files) == checkpoints.KEPT
    files[-1].write_bytes(files[-1].read_bytes()[:-20])
    caplog.set_level("WARNING", logger="flyball")
    found = Checkpoints(tmp_path, "a", every_s=1).newest()
    assert found is not None and len(found["random"]) == 2
    files[0].write_bytes(b"nothing")
    assert Checkpoints(tmp_path, "a", every_s=1).newest() is None
    assert not list((tmp_path / "a").glob("step-*.safetensors"))


def test_another_recipe_never_sees_it_and_old_ones_are_forgotten(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "a", every_s=1).save(1, {"random": torch.zeros(1)})
    assert Checkpoints(tmp_path, "b", every_s=1).newest() is None
    old = time.time() - checkpoints.FORGOTTEN_AFTER_S - 60
    os.utime(tmp_path / "a", (old, old))
    Checkpoints(tmp_path, "b", every_s=1)
    assert not (tmp_path / "a").exists()


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(
    tmp_path: Path, unbroken: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "sync", full)
    dataset = write_dataset(tmp_path / "dataset", rows(200, seed=1), rows(40, seed=2))
    kept = Checkpoints(tmp_path / "other", "a", every_s=1)
    assert not kept.save(1, {"random": torch.zeros(1)})
    assert not list((tmp_path / "other/a").iterdir())
    monkeypatch.undo()
    assert run(tmp_path, dataset).weights_hash == unbroken.weights_hash
