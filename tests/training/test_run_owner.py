"""A run whose process was killed is marked so by the next one; others are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flyball.training.mlflow_tracking import Tracker
from flyball.training.run_owner import CHANGED, COMMIT, OWNER, git_state
from flyball.training.tracking_store import open_store

KILLED = """
import os, signal, sys, time
from flyball.training.mlflow_tracking import Tracker
tracker = Tracker(sys.argv[1], project="shop", run_name="killed")
while tracker.run_id is None:
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_run_marks_a_killed_one_and_leaves_a_living_and_a_foreign_one(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    living = Tracker(uri, project="shop", run_name="living")
    assert subprocess.run([sys.executable, "-c", KILLED, uri], check=False, timeout=120).returncode == -9
    client, experiment = open_store(uri, "shop")
    foreign = client.create_run(experiment, run_name="foreign", tags={OWNER: "elsewhere 1 1.00"}).info.run_id
    before = {run.data.tags["mlflow.runName"]: run.info for run in client.search_runs([experiment])}
    assert before["killed"].status == "RUNNING"
    last = Tracker(uri, project="shop", run_name="last")
    last.finish("FINISHED")
    after = {run.data.tags["mlflow.runName"]: run.info.status for run in client.search_runs([experiment])}
    assert after == {"killed": "KILLED", "living": "RUNNING", "foreign": "RUNNING", "last": "FINISHED"}
    assert client.get_run(foreign).info.status == "RUNNING"
    living.finish("FINISHED")


def test_a_run_names_the_commit_and_whether_files_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert dict(git_state()) == {}
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("one")
    for command in (["init", "-q"], ["add", "file"], [*identity, "commit", "-qm", "one"]):
        subprocess.run(["git", *command], check=True, env={**os.environ})
    found = dict(git_state())
    assert len(found[COMMIT]) == 40 and found[CHANGED] == "no"
    (tmp_path / "file").write_text("two")
    assert dict(git_state())[CHANGED] == "yes"
