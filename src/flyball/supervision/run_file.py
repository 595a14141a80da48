"""What `flyball up` leaves about itself while it lives: addresses and process ids. I/O: one small file."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from flyball.whole_files import replace_file

FILE = "supervisor.json"


class RunFile(msgspec.Struct, frozen=True, kw_only=True):
    """Where a project is served, and by which processes."""

    pid: int
    gateway: str
    console: str
    processes: dict[str, int]


def write_note(folder: Path, note: RunFile) -> None:
    """Leave the note; a reader sees the old one or the new one."""
    replace_file(folder / FILE, msgspec.json.encode(note), durable=False)


def read_note(folder: Path) -> RunFile | None:
    """The note of a supervisor that is alive."""
    try:
        note = msgspec.json.decode((folder / FILE).read_bytes(), type=RunFile)
        os.kill(note.pid, 0)
    except (OSError, msgspec.MsgspecError):
        return None
    return note


def remove_note(folder: Path) -> None:
    """The supervisor has ended."""
    (folder / FILE).unlink(missing_ok=True)
