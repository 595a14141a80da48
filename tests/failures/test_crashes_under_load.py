"""The crash benchmark, short: nothing acknowledged is lost or doubled, and nothing fails that need not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.mark.parametrize("ledger_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)], indirect=True)
def test_random_kills_under_load_lose_double_overspend_and_stop_nothing(ledger_url: str) -> None:
    ledger = ["--ledger", ledger_url] if ledger_url.startswith("postgresql") else []
    command = [sys.executable, str(BENCH / "crashes.py"), "--rate", "60", "--kills", "7", "--every", "1.2", *ledger]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found["killed"]) == {"gateway", "engine", "ingester", "control", "all"}
    assert found["acknowledged"] > 300, found
    assert (found["lost"], found["duplicated"]) == (0, 0), found
    assert found["failed_before_first_byte"]["other"] == 0, done.stderr
    assert 0 < found["budget"]["spent"] <= found["budget"]["bound"], found
    assert all(found["consistent"].values()), found
