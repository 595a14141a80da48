"""A training that is killed, interrupted or out of disk goes on to the same bits; a damaged checkpoint is no danger."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import torch

from flyball.records import DatasetVersion, TrainingRun, fingerprint
from flyball.telemetry import quiet
from flyball.training import checkpoints
from flyball.training.checkpoints import Checkpoints
from flyball.training.config import LoraConfig
from flyball.training.objectives.dpo import Dpo
from flyball.training.training_run import train
from small_models import LABELS, RECIPE, rows, write_dataset

SUPPORT = Path(__file__).parents[1] / "support"
OFTEN = msgspec.structs.replace(RECIPE, steps=60, checkpoint_every_s=1e-6)
PREFERRING = msgspec.structs.replace(
    OFTEN, method="lora", objective="dpo", base="base", batch_size=8, micro_batch=3, lora=LoraConfig(rank=4)
)
PROGRAM = """
import sys
from pathlib import Path
from test_checkpoints import dataset, run
root, of_pairs = Path(sys.argv[1]), sys.argv[2] == "True"
run(root, dataset(root, of_pairs), of_pairs=of_pairs)
"""


def dataset(root: Path, of_pairs: bool = False) -> DatasetVersion:
    """Labelled rows, or pairs in which another label is the rejected answer."""
    train, checked = (rows(count, seed=seed) for count, seed in ((200, 1), (40, 2)))
    if of_pairs:
        train, checked = (
            [replace(row, rejected=next(one for one in LABELS if one != row.label)) for row in side[:60]]
            for side in (train, checked)
        )
    return write_dataset(root / "dataset", train, checked)


def run(
    root: Path, version: DatasetVersion, *, out: str = "training", keep: bool = True, of_pairs: bool = False
) -> TrainingRun:
    return train(
        PREFERRING if of_pairs else OFTEN,
        project="shop",
        task="chat" if of_pairs else "classification",
        dataset=version,
        dataset_dir=root / "dataset",
        base_dir=root / "base" if of_pairs else None,
        out=root / out,
        tracking_uri=f"sqlite:///{root}/mlflow.db",
        progress=quiet,
        checkpoints_dir=root / "checkpoints" if keep else None,
    )


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """The training without a break and without checkpoints."""
    root = tmp_path_factory.mktemp("unbroken")
    return run(root, dataset(root), keep=False)


def start(root: Path, of_pairs: bool = False) -> subprocess.Popen[bytes]:
    folders = os.pathsep.join([str(Path(__file__).parent), str(SUPPORT)])
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root), str(of_pairs)],
        env={**os.environ, "PYTHONPATH": folders},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def newest_step(root: Path) -> int:
    found = sorted((root / "checkpoints").glob("*/step-*.safetensors"))
    return int(found[-1].name.split("-")[1]) if found else 0


def stop_after(root: Path, step: int, number: signal.Signals, *, of_pairs: bool = False) -> str:
    """Begin the training in a process of its own, send it a signal once that step is kept; what it said."""
    process = start(root, of_pairs)
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
    resumed = run(tmp_path, dataset(tmp_path))
    assert fingerprint(resumed) == fingerprint(unbroken) and resumed.weights_hash == unbroken.weights_hash
    assert not any((tmp_path / "checkpoints").iterdir())


def test_kill_9_changes_no_bit_of_adapters_that_learn_preferences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(
        msgspec.structs.replace(RECIPE, steps=25),
        project="shop",
        task="classification",
        dataset=dataset(tmp_path),
        dataset_dir=tmp_path / "dataset",
        base_dir=None,
        out=tmp_path / "base",
        tracking_uri=f"sqlite:///{tmp_path}/mlflow.db",
        progress=quiet,
    )
    version = dataset(tmp_path, of_pairs=True)
    whole = run(tmp_path, version, out="whole", keep=False, of_pairs=True)
    stop_after(tmp_path, random.Random(7).randrange(2, 45), signal.SIGKILL, of_pairs=True)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the reference was kept")

    with monkeypatch.context() as patched:
        patched.setattr(Dpo, "measure", lambda *_: {})  # it asks the model as it is at the end
        patched.setattr(Dpo, "log_probabilities_of", never)
        resumed = run(tmp_path, version, of_pairs=True)
    assert resumed.weights_hash == whole.weights_hash and resumed.metrics["loss"] == whole.metrics["loss"]
    curves = [(tmp_path / name / "curve.json").read_bytes() for name in ("whole", "training")]
    adapters = [(tmp_path / name / "adapter/adapter_model.safetensors").read_bytes() for name in ("whole", "training")]
    assert curves[0] == curves[1] and adapters[0] == adapters[1]


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
    kept = Checkpoints(tmp_path / "other", "a", every_s=1)
    assert not kept.save(1, {"random": torch.zeros(1)})
    assert not list((tmp_path / "other/a").iterdir())
    monkeypatch.undo()
    assert run(tmp_path, dataset(tmp_path)).weights_hash == unbroken.weights_hash
