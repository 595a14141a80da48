"""`dvc exp run`: what it built is in `flyball models`, can be gated, and is tracked under the experiment's name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flyball.dvc.experiments import experiments, outputs_in
from flyball.wiring import home_of
from small_shop import eventually, flyball, ok, ok_lines

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")


@pytest.fixture
def committed(shop: Path) -> Path:
    """The built shop, in git."""
    for command in (["add", "-A"], ["commit", "-qm", "built"]):
        subprocess.run([*GIT, *command], cwd=shop, check=True)
    return shop


def dvc(root: Path, *arguments: str) -> None:
    """DVC as a user calls it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    author = {f"GIT_{who}_{what}": "a" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env={**os.environ, **author, "PATH": path, "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def models(root: Path) -> list[dict[str, Any]]:
    """What `flyball models` lists."""
    return ok_lines("models", cwd=root)


def test_an_experiment_is_listed_by_its_name_and_can_be_gated_and_is_compared_in_mlflow(committed: Path) -> None:
    (before,) = models(committed)
    assert before["experiment"] is None
    dvc(committed, "exp", "run", "-n", "short", "-S", "flyball.yaml:train.steps=20")
    found = {row["experiment"]: row for row in models(committed)}
    assert set(found) == {None, "short"} and found[None]["release"] == before["release"]
    assert found["short"]["exact_match"] is not None and found["short"]["model"] != before["model"]
    ok("gate", found["short"]["release"], cwd=committed)
    run = tracked(committed, found["short"]["model"])
    assert run.info.run_name.endswith("experiment short") and run.data.tags["flyball.experiment"] == "short"
    assert run.data.metrics["test/accuracy"] == pytest.approx(found["short"]["accuracy"], abs=1e-4)


def test_one_in_a_copy_of_the_project_uses_its_keys_and_store_and_cached_outputs_that_are_gone_are_said(
    committed: Path,
) -> None:
    dvc(committed, "exp", "run", "--temp", "-n", "aside", "-S", "flyball.yaml:data.split.test=0.2")
    assert (
        "split" not in (committed / "flyball.yaml").read_text()
        or "0.2}" not in (committed / "flyball.yaml").read_text()
    ), "nothing of it is in the workspace"
    kept = committed / ".dvc/cache"
    kept.rename(committed / "away")
    assert "experiment aside is left out: its evaluation is not in DVC's cache" in flyball("models", cwd=committed).err
    (committed / "away").rename(kept)
    (row,) = [one for one in models(committed) if one["experiment"] == "aside"]
    assert tracked(committed, row["model"]).data.tags["flyball.experiment"] == "aside"
    shutil.rmtree(kept)
    again = flyball("models", cwd=committed)
    assert "aside" in again.out and "left out" not in again.err, "it stays, whatever DVC clears up"


def tracked(root: Path, model: str) -> Any:
    """The MLflow run with the model's evaluation, which arrives when it arrives."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{root}/.flyball/mlflow.db")
    experiment = client.get_experiment_by_name("shop")
    query = f"tags.`flyball.model` = '{model}'"
    (run,) = eventually(lambda: client.search_runs([experiment.experiment_id], query), timeout_s=60)
    return run


def test_a_folder_without_git_has_no_experiments(tmp_path: Path) -> None:
    assert list(experiments(tmp_path)) == []


def test_only_our_own_finished_outputs_of_a_lock_are_taken() -> None:
    lock = """
schema: '2.0'
stages:
  flyball-model: {cmd: flyball stage model, outs: [{path: loop/model, md5: aa.dir}]}
  evaluation: {cmd: flyball stage evaluation, outs: [{path: loop/evaluation, md5: bb.dir}, {path: x, md5: cc}]}
  release: {cmd: flyball stage release}
"""
    assert outputs_in(lock) == {"model": "aa.dir", "evaluation": "bb.dir"}
    assert outputs_in("") == outputs_in("stages: [") == outputs_in("stages: {a: 3, b: {outs: [x]}}") == {}


def test_only_a_copy_below_dvcs_own_folder_has_a_home_elsewhere(tmp_path: Path) -> None:
    origin, copy = tmp_path / "origin", tmp_path / "origin/.dvc/tmp/exps/standalone/tmp1"
    for root in (copy, tmp_path / "other"):
        (root / ".dvc").mkdir(parents=True)
    environment = {"DVC_ROOT": str(origin)}
    assert home_of(copy / "sub", environment) == origin / "sub"
    assert home_of(origin, environment) == origin
    assert home_of(tmp_path / "other", environment) == tmp_path / "other"
    assert home_of(copy, {}) == copy
