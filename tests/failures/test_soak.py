"""The soak, short: a minute of mixed load with deployments, and every process and the disk stay flat."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flyball.gateway.worker import COMPILED

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.serial
@pytest.mark.parametrize("minutes", [0.35, pytest.param(1.0, marks=pytest.mark.long)])
def test_mixed_load_leaves_memory_descriptors_threads_and_disk_flat(minutes: float) -> None:
    command = [sys.executable, str(BENCH / "soak.py"), "--minutes", str(minutes), "--rate", "50"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["compiled"] == COMPILED, "what was asked for is what was measured"
    assert found["beyond"] == [] and found["lost"] == 0, done.stdout
    assert found["acknowledged"] > 1500 * minutes and found["switches_and_rollbacks"] >= 2, found
    assert found["failed_before_first_byte"] == 0, found
    measured = {name.split(" ")[0].split("-")[0] for name in found["most"]}
    assert measured == {"supervisor", "gateway", "ingester", "control", "console", "engine", "disk"}, measured
