"""Judging by a program of the user's: JSON Lines in, verdicts out, time and size limited. I/O: a process, the ledger.

Control calls it beside its passes. What goes wrong (it cannot start, fails, hangs, floods, says something else than
verdicts, leaves answers out) is a finding of the rollout's health: silence must not look like quality.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from flyball.records import Finding
from flyball.records.identity import uuid7
from flyball.rollout.config import JudgeConfig
from flyball.rollout.judged_answers import JudgingQueue
from flyball.storage.ledger import now_ms
from flyball.telemetry import log
from flyball.wiring import Project
from flyball.workflows.judge import item, record_verdicts
from flyball.workflows.request_texts import texts_of

MAX_OUTPUT_BYTES = 4_194_304
MAX_TRIES = 3
"""An answer that the program passes over so often is left to people."""
_LAST_BYTES = 2000
_SAY_AGAIN_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Run:
    """What a program printed, and what went wrong with it (empty: nothing)."""

    output: bytes
    problem: str


class JudgeProgram:
    """The project's judge and what it was asked already; a new one after a restart only asks again."""

    def __init__(self, project: Project, config: JudgeConfig) -> None:
        self.project, self.config = project, config
        self._desk = JudgingQueue(project.ledger, project.settings.rollout)
        self._tries: Counter[str] = Counter()

    def judge(self) -> int:
        """Have the next answers judged; how many verdicts are new."""
        waiting = self._desk.waiting(now_ms())
        self._tries = Counter({name: self._tries[name] for name in waiting if self._tries[name]})
        names = [name for name in waiting if self._tries[name] < MAX_TRIES][: self.config.batch]
        documents = texts_of(self.project, names, purpose="judging")
        self._tries.update(names)
        if not documents:
            return 0
        asked = [msgspec.json.encode(item(name, document)) for name, document in documents.items()]
        run = run_program(self.config.command, asked, root=self.project.root, timeout_s=self.config.timeout_s)
        name = Path(self.config.command[0]).name
        recorded = record_verdicts(self.project, run.output.splitlines(), judge=name)
        said = recorded.recorded + recorded.known
        problem = run.problem or "; ".join(recorded.wrong[:3])
        if not problem and said < len(documents):
            problem = f"it left {len(documents) - said} of {len(documents)} answers unjudged"
        if problem:
            self._find(problem, judged=said, asked=len(documents))
        return recorded.recorded

    def _find(self, problem: str, *, judged: int, asked: int) -> None:
        """A finding, once an hour at most: the log has each."""
        log.error("the judge %s: %s", self.config.command[0], problem)
        project = self.project
        for stored in project.ledger.find(Finding, limit=200):
            if getattr(stored.record, "measure", "") == "judge" and now_ms() - stored.at_ms < _SAY_AGAIN_MS:
                return
        finding = Finding(
            id=uuid7(),
            project=project.name,
            kind="health",
            severity="warning",
            route="",
            release=None,
            measure="judge",
            value=float(judged),
            reference=float(asked),
            evidence={"command": list(self.config.command), "problem": problem},
            first_seq=0,
            last_seq=0,
            examples=(),
            explanation=f"the program of rollout.judge does not judge as it should: {problem}; until it does, no "
            "rollout is promoted on quality (`flyball judge open` shows what waits)",
        )
        project.ledger.append(finding)


def run_program(command: Sequence[str], lines: Sequence[bytes], *, root: Path, timeout_s: float) -> Run:
    """Run a command with lines on its standard input; its whole group is killed when it takes or says too much."""
    try:
        process = subprocess.Popen(
            command,
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return Run(b"", f"{command[0]} cannot be run: {error.strerror}")
    assert process.stdin and process.stdout and process.stderr
    threading.Thread(target=_feed, args=(process.stdin, b"\n".join(lines) + b"\n"), daemon=True).start()
    try:
        output, last, problem = _listen(process.stdout, process.stderr, time.monotonic() + timeout_s)
        if not problem:
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                problem = f"it did not end within {timeout_s:g} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # and whatever it started
        process.wait()
        process.stdout.close()
        process.stderr.close()
    if problem:
        return Run(output, problem.format(timeout_s=timeout_s))
    if process.returncode:
        words = " ".join(last.decode("utf-8", "replace").split()[-40:])
        return Run(output, f"it ended with exit code {process.returncode}: {words or 'no word of why'}")
    return Run(output, "")


def _feed(stdin: IO[bytes], data: bytes) -> None:
    with contextlib.suppress(OSError):  # a program may end before it has read all
        stdin.write(data)
    with contextlib.suppress(OSError):
        stdin.close()


def _listen(stdout: IO[bytes], stderr: IO[bytes], deadline: float) -> tuple[bytes, bytes, str]:
    """All of standard output, the end of standard error, and why listening ended early."""
    output, last = bytearray(), b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        selector.register(stderr, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return bytes(output), last, "it did not end within {timeout_s:g} s"
            for key, _ in selector.select(left):
                part = os.read(key.fd, 65536)
                if not part:
                    selector.unregister(key.fileobj)
                elif key.fileobj is stdout:
                    output += part
                else:
                    last = (last + part)[-_LAST_BYTES:]
            if len(output) > MAX_OUTPUT_BYTES:
                return b"", last, f"it printed more than {MAX_OUTPUT_BYTES} bytes"
    return bytes(output), last, ""
