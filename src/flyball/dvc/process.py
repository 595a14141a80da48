"""DVC in a process of its own, whose words do not mix with those of the stages it runs. I/O: a log, DVC, signals.

Run as `python -m flyball.dvc.process LOG ARGUMENT…`. What DVC itself says goes to LOG; a stage writes to the streams of
the process that started us. Standard input is a pipe that closes when our starter dies, however it dies: the stage
under way is then interrupted, so that no build goes on unseen.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path


def main() -> int:
    """Run DVC with the arguments after the log's name; its exit code."""
    log, *arguments = sys.argv[1:]
    starter = os.dup(0)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # stages inherit this one
    threading.Thread(target=end_with_starter, args=(starter,), daemon=True).start()
    with Path(log).open("w", encoding="utf-8") as own:
        sys.stdout = sys.stderr = own  # before DVC is imported, whose loggers take them then
        from dvc.cli import main as dvc

        return int(dvc(arguments) or 0)


def end_with_starter(pipe: int) -> None:
    """Interrupt our group once the pipe's other end is closed; DVC itself ignores that while a stage runs."""
    while os.read(pipe, 1):
        pass
    os.killpg(0, signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
