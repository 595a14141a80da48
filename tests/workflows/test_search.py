"""A search on real trainings: killed, it goes on and keeps what was finished; its best recipe can be applied."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from flyball.errors import ConfigError
from flyball.settings import load_settings
from flyball.workflows.search_study import Study
from flyball.workflows.search_trial import TrialResult
from small_shop import FLYBALL, make_small_shop, ok

pytest.importorskip("optuna", reason="Optuna is in the extra `search`")
SEARCH = """
search:
  fields:
    train.linear.characters: [0, 4]   # of n-grams
  trials: 2
"""


def linear_shop(folder: Path) -> Path:
    root = make_small_shop(folder, rows=300)
    settings = (root / "flyball.yaml").read_text()
    linear = "method: linear\n  tracking: file:mlruns  # a database takes seconds to make\n #"
    for old, new in (("method: scratch", linear), ("kind: llama.cpp", "kind: onnx"), (", invariance]", "]")):
        assert settings.count(old) == 1
        settings = settings.replace(old, new)
    (root / "flyball.yaml").write_text(settings + SEARCH)
    return root


def killed_in_its_second_trial(root: Path) -> float:
    """Start a search, and kill it with SIGKILL when its first trial is done; that trial's value."""
    from flyball.workflows.search_study import existing_study

    process = subprocess.Popen([*FLYBALL, "search"], cwd=root, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            assert process.poll() is None, "it ended before it was killed"
            if (root / ".flyball/search/recipe.db").is_file():
                trials = existing_study(root / ".flyball/search", "recipe").trials()
                if [one.state for one in trials] == ["complete", "running"]:
                    children = psutil.Process(process.pid).children()
                    if any(one.status() != psutil.STATUS_ZOMBIE for one in children):
                        break
            time.sleep(0.2)
    finally:
        process.kill()
        process.wait()
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert gone and not alive, "a trial outlives its search"
    assert trials[0].value is not None
    return trials[0].value


def test_a_killed_search_keeps_what_was_finished_and_its_recipe_is_applied(tmp_path: Path) -> None:
    root = linear_shop(tmp_path)
    first = killed_in_its_second_trial(root)

    found = ok("search", "--trials", "4", cwd=root)
    states = [one["state"] for one in found["trials"]]
    assert states[:3] == ["complete", "stopped", "complete"] and set(states[3:]) == {"repeated"}
    assert found["ended"] == "every recipe that it finds was tried already"
    assert found["as_is"]["value"] == found["trials"][0]["value"] == first
    assert found["trials"][2]["values"] == found["trials"][1]["values"] != {}
    assert found["ranked_by"] == "validation.exact_match"
    assert found["best"]["value"] == max(one["value"] for one in found["trials"] if one["value"] is not None)
    page = Path(found["page"]).read_text()
    assert "<svg" in page and "<script" not in page and "History" in page
    assert not list((root / ".flyball/search/recipe").iterdir()), "what trials leave is removed"

    before = (root / "flyball.yaml").read_text().splitlines()
    made = ok("search", "apply", cwd=root)
    wanted = found["best"]["values"].get("train.linear.characters", 0)
    assert load_settings(root).train.linear.characters == wanted
    assert made["written"] == (wanted != 0)
    after = (root / "flyball.yaml").read_text().splitlines()
    assert all(line in after for line in before)


def test_a_search_for_something_else_needs_another_name(tmp_path: Path) -> None:
    study = Study(tmp_path / "recipe.db", name="recipe", direction="maximize")
    study.follow({"rows": "a", "seed": 1})
    again = Study(tmp_path / "recipe.db", name="recipe", direction="maximize")
    again.follow({"rows": "a", "seed": 1})
    with pytest.raises(ConfigError, match="begun with other rows") as caught:
        again.follow({"rows": "b", "seed": 1})
    assert "--name" in caught.value.cure


def search_of(path: Path, interrupted_after: int | None) -> list[float]:
    """What nine trials draw, the process changed after some of them, where one is left running."""
    study, drawn = Study(path, name="x", direction="minimize"), []
    while len(drawn) < 9:
        trial = study.ask(seed=7)
        value = trial.suggest_float("x", 0.0, 1.0)
        if len(drawn) == interrupted_after:
            study, interrupted_after = Study(path, name="x", direction="minimize"), None
            assert len(study.redo_unfinished()) == 1
            continue
        drawn.append(value)
        study.complete(trial, TrialResult(value=(value - 0.3) ** 2))
    return drawn


def test_an_interrupted_search_draws_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = search_of(tmp_path / "whole.db", None)
    assert search_of(tmp_path / "broken.db", 7) == whole
    assert len(set(whole)) == 9
    assert Study(tmp_path / "whole.db", name="x", direction="minimize").importances(["x"]) == {"x": 1.0}


def test_a_training_below_the_median_of_earlier_ones_is_pruned(tmp_path: Path) -> None:
    study = Study(tmp_path / "prune.db", name="p", direction="maximize")
    for number in range(5):
        trial = study.ask(seed=1)
        for tenth in range(1, 6):
            trial.report(0.5 + 0.01 * number, tenth)
            assert not trial.should_prune(), "the first ones are all let end"
        study.complete(trial, TrialResult(value=0.5))
    bad, good = study.ask(seed=1), study.ask(seed=1)
    for trial, value in ((bad, 0.1), (good, 0.9)):
        trial.report(value, 5)
    assert bad.should_prune() and not good.should_prune()
    study.prune(bad, TrialResult(seconds=1.0))
    assert [one.state for one in study.trials()][-2:] == ["pruned", "running"]
