"""A file is replaced whole or not at all; a lock is one process's at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flyball.whole_files import held, replace_file


@pytest.mark.parametrize("durable", [True, False])
def test_a_reader_sees_the_old_content_or_the_new_one(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "made" / "file"
    contents = [bytes([number]) * 50_000 for number in range(20)]
    replace_file(path, contents[0], durable=durable)
    seen: list[bytes] = []
    reading = threading.Thread(target=lambda: seen.extend(path.read_bytes() for _ in range(200)))
    reading.start()
    for content in contents:
        status = replace_file(path, content, durable=durable)
    reading.join()
    assert set(seen) <= set(contents) and path.read_bytes() == contents[-1]
    assert (status.st_ino, status.st_size) == (path.stat().st_ino, 50_000)
    assert [one.name for one in path.parent.iterdir()] == ["file"]


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old", durable=True)

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new", durable=True)
    assert (path.read_bytes(), [one.name for one in tmp_path.iterdir()]) == (b"old", ["file"])


def test_the_mode_is_that_of_a_plain_file_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    replace_file(tmp_path / "open", b"", durable=False)
    replace_file(tmp_path / "private", b"", durable=False, mode=0o600)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("plain", "open", "private")]
    assert modes[0] == modes[1] and modes[2] == 0o600


def test_a_lock_is_held_by_one_process_and_freed_when_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    start = "from pathlib import Path; from flyball.whole_files import held"
    code = f"{start}\nwith held(Path({str(path)!r})): print(1, flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline()
    got = threading.Event()

    def wait() -> None:
        with held(path):
            got.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not got.wait(0.3)
    holder.kill()
    assert got.wait(10)
    waiting.join()
    holder.wait()
    holder.stdin.close() if holder.stdin else None
    holder.stdout.close()
