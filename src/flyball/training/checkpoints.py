"""Checkpoints of one training: whole, verified, few. I/O: files of one folder.

A checkpoint is one file whose name holds its step and the SHA-256 of its bytes: renaming it into place makes it whole,
and reading checks the name. The folder belongs to one recipe on one dataset; another recipe never sees it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from flyball.telemetry import log
from flyball.whole_files import sync

KEPT = 2
FORGOTTEN_AFTER_S = 14 * 86400.0
"""What another recipe left is removed after so long without a change."""

State = dict[str, Tensor]


class Checkpoints:
    """The checkpoints of the training that `name` stands for, in `folder`; written at most every `every_s` seconds."""

    def __init__(self, folder: Path, name: str, *, every_s: float) -> None:
        self._folder = folder / name[:32]
        self._every_s = every_s
        self._saved = time.monotonic()
        _forget_old(folder, but=self._folder)

    @property
    def due(self) -> bool:
        """Whether so many seconds have passed since the last one."""
        return time.monotonic() - self._saved >= self._every_s

    def newest(self) -> State | None:
        """The newest whole one; a damaged one is set aside with a warning, and the one before it is taken."""
        whole = (_read(path, "the one before it is taken") for path in reversed(self._all()))
        return next((state for state in whole if state is not None), None)

    @property
    def newest_path(self) -> Path | None:
        """Where the newest one is."""
        return next(reversed(self._all()), None)

    def keep(self, name: str, compute: Callable[[], State]) -> State:
        """What `compute` gives, once: kept beside the checkpoints, and read from there by a training that goes on."""
        for path in self._folder.glob(f"kept-{name}-*.safetensors"):
            if (found := _read(path, "it is computed again")) is not None:
                return found
        state = compute()
        self._write(f"kept-{name}", state)
        return state

    def save(self, step: int, state: Mapping[str, Tensor]) -> bool:
        """Write the state after `step`; False, with a warning, where the disk does not take it: training goes on."""
        self._saved = time.monotonic()
        if not self._write(f"step-{step:09d}", state):
            return False
        for old in self._all()[:-KEPT]:
            old.unlink(missing_ok=True)
        return True

    def _write(self, name: str, state: Mapping[str, Tensor]) -> bool:
        draft = self._folder / f"draft-{os.getpid()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_file(dict(state), draft)
            sync(draft)
            draft.rename(self._folder / f"{name}-{_digest(draft)}.safetensors")
            sync(self._folder)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                draft.unlink()
            log.warning("no checkpoint %s: %s. Free space under %s", name, error, self._folder)
            return False
        return True

    def remove(self) -> None:
        """The training is over, and its model is whole."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _all(self) -> list[Path]:
        return sorted(self._folder.glob("step-*.safetensors"))


def _read(path: Path, otherwise: str) -> State | None:
    """A whole file's tensors; a damaged one is set aside with a warning that says what is done `otherwise`."""
    try:
        if _digest(path) == path.stem.rpartition("-")[2]:
            found: State = load_file(path)
            return found
        reason = "its bytes are not those that were written"
    except (OSError, SafetensorError) as error:
        reason = str(error)
    log.warning("the checkpoint %s is damaged (%s); %s", path, reason, otherwise)
    path.replace(path.with_suffix(".damaged"))
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _forget_old(folder: Path, *, but: Path) -> None:
    for other in folder.iterdir() if folder.is_dir() else ():
        if other != but and time.time() - other.stat().st_mtime > FORGOTTEN_AFTER_S:
            shutil.rmtree(other, ignore_errors=True)


@contextmanager
def interruption() -> Iterator[threading.Event]:
    """Within the block the first ctrl-c sets the event, so that a step ends whole; the second interrupts at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.getsignal(signal.SIGINT)

    def ask(_number: int, _frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
