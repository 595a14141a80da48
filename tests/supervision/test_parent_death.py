"""A child ends with its parent, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys

ASKS = (
    "import sys; from flyball.supervision.parent_death import ends_with; print(ends_with(int(sys.argv[1])), flush=True)"
)
WAITS = ASKS + "; sys.stdin.read()"
PARENT = f"import os, subprocess, sys; subprocess.run([sys.executable, '-c', {WAITS!r}, str(os.getpid())])"


def test_a_killed_parent_takes_its_child_along() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "True\n"
        parent.send_signal(signal.SIGKILL)
        assert parent.stdout.read() == ""  # ends when the child, which holds the other end, has ended


def test_a_parent_that_has_gone_already_is_told() -> None:
    told = subprocess.run([sys.executable, "-c", ASKS, "1"], capture_output=True, text=True)
    assert told.stdout == "False\n"
