"""What is known of each engine on this machine, as one small file per engine. I/O: run_dir/engines/*.json.

An engine writes its own file, so there is none that nobody knows of, whoever died meanwhile.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from flyball.engines.catalog import DEFAULT
from flyball.whole_files import replace_file


class EngineFile(msgspec.Struct, frozen=True, kw_only=True):
    """One engine: who it is (pid and start time in this boot), what it serves and where."""

    id: str
    release: str
    kind: str = DEFAULT.name
    model: str = ""  # what it loaded
    pid: int
    started: float
    boot: str
    url: str = ""  # empty until it listens
    log: str = ""
    slots: int = 1
    ready: bool = False  # a real inference has answered
    owner: str = ""  # "control", or the process that it ends with


def folder(run_dir: Path) -> Path:
    """Where the files are."""
    return run_dir / "engines"


def write(path: Path, content: EngineFile) -> None:
    """Replace the file in one step."""
    replace_file(path, msgspec.json.encode(content), durable=False)


def write_new(path: Path, content: EngineFile) -> None:
    """Write the file unless it is there: a later, fuller one is never overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.first")
    temporary.write_bytes(msgspec.json.encode(content))
    with suppress(FileExistsError):
        path.hardlink_to(temporary)
    temporary.unlink()


def read(path: Path) -> EngineFile | None:
    """The file's content; None when it is gone or is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=EngineFile)
    except (OSError, msgspec.MsgspecError):
        return None


def read_all(run_dir: Path) -> dict[Path, EngineFile | None]:
    """Every file with its content."""
    return {path: read(path) for path in sorted(folder(run_dir).glob("*.json"))}
