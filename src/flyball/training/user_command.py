"""Training by a command of the user's own. I/O: runs it with FLYBALL_DATASET and FLYBALL_OUTPUT set."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from flyball.errors import InputError
from flyball.inference.model_folders import read_model_folder


def train_by_command(command: str | None, *, dataset_dir: Path, out: Path) -> None:
    """Run the command; InputError unless it exits 0 and leaves a Hugging Face folder with a chat template in `out`.

    Its output goes to standard error; ctrl-c ends it and whatever it started.
    """
    if not command:
        raise InputError("train.method is command, train.command is missing", cure="add train.command to flyball.yaml")
    variables = [f"FLYBALL_DATASET={dataset_dir.resolve()}", f"FLYBALL_OUTPUT={out.resolve()}"]
    with subprocess.Popen(["env", *variables, "sh", "-c", command], stdout=sys.stderr, start_new_session=True) as child:
        try:
            code = child.wait()
        except BaseException:  # ctrl-c too: the command has a session of its own and would live on
            os.killpg(child.pid, signal.SIGTERM)
            raise
    if code != 0:
        raise InputError(f"train.command ended with {code}: {command}", cure="see its own messages above")
    if not read_model_folder(out).chat_template:
        raise InputError("the model that train.command wrote has no chat template", cure="write chat_template.jinja")
