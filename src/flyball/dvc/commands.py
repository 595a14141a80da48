"""Run DVC, and turn what goes wrong in it or in a stage into our own errors. I/O: processes, .flyball/run, a log.

A stage that fails under `flyball run` says nothing itself: it leaves its error in a file, whose exit code, message and
cure are then those of the command. DVC alone would lose all three.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from flyball.errors import EnvironmentMissing, FlyballError
from flyball.wiring import Project

ERROR_FILE = "FLYBALL_STAGE_ERROR"  # tells a stage that a command of ours waits for it, and where to leave its error
QUIET = {"DVC_NO_ANALYTICS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "RAY_USAGE_STATS_ENABLED": "0"}
GRACE_S = 20.0
LACKING = ("No space left", "Permission denied", "Read-only file system", "File too large", "Unable to acquire lock")
FULL_BYTES = 128 * 1024
"""With less free space than this a disk is full: then DVC says nothing that makes sense, and its log is cut off."""


class StageError(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage leaves behind for the command that ran it."""

    stage: str
    code: str
    message: str
    cure: str
    exit_code: int


class BuildFailed(FlyballError):
    """The build stopped in a stage or in DVC; says, and exits with, what that one did."""

    def __init__(self, message: str, *, cure: str, code: str, exit_code: int) -> None:
        super().__init__(message, cure=cure)
        self.code, self.exit_code = code, exit_code


def dvc(project: Project, *arguments: str) -> None:
    """Run DVC in the project's folder, its stages' words on standard error; BuildFailed or KeyboardInterrupt."""
    log = project.places.logs / "dvc.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    project.places.run.mkdir(parents=True, exist_ok=True)
    left = project.places.run / "stage-error.json"
    left.unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "flyball.dvc.process", str(log), *arguments],
        cwd=project.root,
        env={**environment(project), ERROR_FILE: str(left)},
        stdin=subprocess.PIPE,
        stdout=sys.stderr.fileno(),
        close_fds=False,  # the build's lock is held until DVC has ended, even where we are killed
        process_group=0,  # one ctrl-c reaches the stage once, through us
    )
    try:
        code = process.wait()
    except KeyboardInterrupt:
        interrupt(process)
        raise
    if code != 0:
        raise reason(left, log, code)


def interrupt(process: subprocess.Popen[bytes]) -> None:
    """End DVC and its stage: asked first, killed after a while or at the second ctrl-c."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_S)
            return
        except ProcessLookupError:
            return
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            continue


def environment(project: Project) -> dict[str, str]:
    """The environment of a stage: our command on the path, dependencies' telemetry off."""
    path = os.pathsep.join([str(Path(sys.executable).parent), project.environment.get("PATH", "")])
    return {**project.environment, **QUIET, "PATH": path}


def leave_error(project: Project, stage: str, error: FlyballError) -> bool:
    """From inside a stage: leave its error for the command that waits; False when none does (`dvc repro`)."""
    path = project.environment.get(ERROR_FILE)
    if not path:
        return False
    document = StageError(
        stage=stage, code=error.code, message=error.message, cure=error.cure, exit_code=error.exit_code
    )
    try:
        Path(path).write_bytes(msgspec.json.encode(document))
    except OSError:  # a full disk: then the stage has to speak for itself
        return False
    return True


def reason(left: Path, log: Path, code: int) -> FlyballError:
    """Why the build stopped: the stage's own error where it left one, else what DVC says."""
    try:
        found = msgspec.json.decode(left.read_bytes(), type=StageError)
    except (OSError, msgspec.MsgspecError):
        return reason_of_dvc(log.read_text(encoding="utf-8", errors="replace") if log.is_file() else "", log, code)
    return BuildFailed(found.message, cure=found.cure, code=found.code, exit_code=found.exit_code)


def reason_of_dvc(said: str, log: Path, code: int) -> FlyballError:
    """DVC's own failure: its error lines, with a cure and an exit code where we know them."""
    lines = [line.removeprefix("ERROR: ").strip() for line in said.splitlines() if line.startswith("ERROR:")]
    first = [line.strip() for line in said.splitlines() if line.strip()][:2]  # of what it prints without a level
    text = "; ".join(lines or first) or f"DVC ended with {code}"
    if killed := re.search(r"failed to run: flyball stage (\w+), exited with (?:-\d|1[34]\d)", text):
        message = f"the stage {killed[1]} was killed; most often that is the kernel, because memory ran out"
        return EnvironmentMissing(message, cure="free memory, or lower train.batch_size or train.size, and run again")
    if any(word in text for word in LACKING):
        cure = "free some space, or check the owner and mode of the file, and run the same command again"
        return EnvironmentMissing(text, cure=cure)
    if "No space left on device" in said or shutil.disk_usage(log.parent).free < FULL_BYTES:
        message = f"the disk of {log.parent} is full: DVC ended with {code}"
        return EnvironmentMissing(message, cure="free some space and run the same command again")
    cure = f"fix that and run the same command again; all that DVC said is in {log}"
    return BuildFailed(text, cure=cure, code="dvc_failed", exit_code=2)
