"""The benchmark of switches and bad candidates, short: no request fails, and what crashes or hangs is taken back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"


def run(*arguments: str) -> Any:
    command = [sys.executable, str(BENCH / "switches.py"), "--rate", "40", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("times", [3, pytest.param(10, marks=pytest.mark.long)])
def test_switches_and_rollbacks_fail_no_request_and_reach_every_worker(times: int) -> None:
    found = run("--switches", str(times), "--candidates", "none")["switches"]
    assert (found["switches"], found["rollbacks"]) == (times, times)
    assert found["requests"] > 30 * times and found["failed"] == 0, found
    for kind in ("switch", "rollback"):
        effect = found["effect_ms"][kind]
        assert effect["last_to_old"]["n"] >= times and effect["last_to_old"]["p50"] < 1000, found


OUTCOMES = {
    "crashes at start": "failed",
    "crashes later": "rolled_back",
    "hangs": "rolled_back",
    "speaks no HTTP": "rolled_back",
}


@pytest.mark.parametrize("names", [["hangs"], pytest.param([*OUTCOMES], marks=pytest.mark.long)])
def test_candidates_that_crash_or_hang_are_gone_after_a_few_requests_and_no_client_notices(names: list[str]) -> None:
    found = run("--switches", "0", "--candidates", ",".join(names))["candidates"]
    assert {name: one["outcome"] for name, one in found.items()} == {name: OUTCOMES[name] for name in names}
    noticed = {name: one["failures"] for name, one in found.items() if one["failed_for_clients"]}
    assert not noticed, json.dumps(noticed)
    assert all(one["assigned"] < 60 for one in found.values()), json.dumps(found)
