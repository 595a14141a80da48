"""kill -9 in the middle of an erasure: the same command goes on, and the receipt is complete."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flyball.compliance.erasers import Traces
from flyball.compliance.erasure import erase, is_valid
from flyball.compliance.subjects import Person
from flyball.security import audit
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import payload_of
from traffic_samples import Traffic

VICTIM = """
import os, signal, sys
from flyball.compliance import erasure
from flyball.compliance.traffic_eraser import TrafficEraser
from flyball.security.keys import ProjectKey
from flyball.storage.ledger import open_ledger

where, url, key = sys.argv[1], sys.argv[2], ProjectKey(b"k" * 32)
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if where == "while removing":
    TrafficEraser._hash_client_ids = die
elif where == "removed, not noted":
    apply = TrafficEraser.apply
    TrafficEraser.apply = lambda self, person: (apply(self, person), die())
elif where == "before the receipt":
    erasure.wipe = die
erasure.erase(open_ledger(url, project="shop"), project_key=key, subject="C0042")
"""


@pytest.mark.parametrize("where", ["while removing", "removed, not noted", "before the receipt"])
def test_a_killed_process_is_taken_over_where_it_died(
    ledger: Ledger, ledger_url: str, tmp_path: Path, where: str
) -> None:
    traffic = Traffic(ledger)
    request = traffic.ask("I am Zebulon Quux", user="C0042", client_id="ticket")
    died = subprocess.run([sys.executable, "-c", VICTIM, where, ledger_url], capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    receipt = erase(ledger, project_key=traffic.key, subject="C0042", erasers=[Late()])
    assert payload_of(ledger, request) is None
    assert (receipt.removed["traffic"]["payloads"], receipt.removed["traffic"]["keys"]) == (1, 1)
    assert receipt.removed["late"] == {"files": 1}, "a store added since the plan is planned now"
    assert is_valid(receipt, public_key=traffic.key.public_key)
    assert audit.verify(ledger) == 4


class Late:
    """A store that the killed process did not know."""

    name = "late"

    def plan(self, person: Person) -> Traces:
        return Traces(counts={"files": 1})

    def apply(self, person: Person) -> Traces:
        return Traces(counts={"files": 1})
