"""The loss curve of a build: DVC draws it, and the console keeps that of every run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from flyball.dvc.pipeline import PLOT, set_plot
from flyball.training.loss_curve import read_curve
from flyball.wiring import Places


def plots(root: Path, *arguments: str) -> dict[str, list[dict[str, float | str]]]:
    """What `dvc plots` draws, by file: the points of its chart."""
    command = [sys.executable, "-m", "dvc", "plots", *arguments, "--json"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert not found.get("errors"), found["errors"]
    return {name: one[0]["content"]["data"]["values"] for name, one in found["data"].items()}


def test_dvc_plots_diff_draws_the_loss_of_two_builds(shop: Path) -> None:
    git = ["git", "-C", str(shop), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    path = shop / "loop/training/curve.json"
    points = json.loads(path.read_text())
    path.unlink()  # it may be a link into DVC's cache
    path.write_text(json.dumps([point | {"loss": 1.0} for point in points]))
    drawn = plots(shop, "diff", "HEAD")["loop/training/curve.json"]
    losses = {rev: [p["loss"] for p in drawn if p["rev"] == rev] for rev in ("HEAD", "workspace")}
    assert losses["HEAD"] == [point["loss"] for point in points] and len(points) == 30
    assert losses["workspace"] == [1.0] * 30


def test_the_curve_of_a_run_is_kept_when_the_next_run_replaces_its_folder(built_once: Path) -> None:
    kept = Places(root=built_once).curves
    run = json.loads((built_once / "loop/training/record.json").read_text())["fingerprint"]
    assert len(read_curve(kept / f"{run}.json")) == 30


def test_our_plot_is_listed_once_beside_those_of_others_and_goes_with_the_training_stage() -> None:
    document = yaml.safe_load("plots: [theirs.csv]\nstages: {}")
    assert set_plot(document, wanted=True) and not set_plot(document, wanted=True)
    assert document["plots"] == ["theirs.csv", PLOT]
    assert set_plot(document, wanted=False) and document["plots"] == ["theirs.csv"]
    bare: dict[str, object] = {}
    assert not set_plot(bare, wanted=False) and bare == {}
    assert set_plot(bare, wanted=True) and set_plot(bare, wanted=False) and bare == {}


def test_settings_of_ones_own_for_our_curve_stay() -> None:
    theirs = {"plots": [{"loop/training/curve.json": {"x": "step", "y": "learning_rate"}}]}
    before = json.dumps(theirs)
    for wanted in (True, False):
        assert not set_plot(theirs, wanted=wanted)
    assert json.dumps(theirs) == before
