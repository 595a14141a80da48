"""The tutorial runs as written: each command block of docs/tutorials/the-loop.md, in order, and its Python."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flyball.data.samples.tickets import write_tickets
from small_shop import SMALL, eventually, flyball, ok_lines, serving

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```(console|python)\n(.*?)```", re.S)


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / "docs/tutorials/the-loop.md").read_text())


@pytest.mark.timeout(600)
def test_the_tutorial_runs_as_written(tmp_path: Path) -> None:
    folder, seen = tmp_path, []
    server: Any = None
    request = ""
    try:
        for language, text in blocks():
            if language == "python":
                out = run_python(text, server[1])
                request = out.strip().splitlines()[-1]
                assert re.fullmatch(r"[0-9a-f-]{36}", request), out
                eventually(partial(is_recorded, folder, request))
                continue
            for line in text.splitlines():
                command = line.removeprefix("$ ").replace("$REQUEST", request)
                seen.append(command)
                if command.startswith("cd "):
                    folder = folder / command[3:]
                elif command == "flyball up &":
                    server = serving(folder)
                    server = (server, server.__enter__())
                else:
                    result = flyball(*command.split()[1:], cwd=folder)
                    assert result.code == 0, f"{command}: {result.code}\n{result.out}\n{result.err}"
                    if command == "flyball init shop":
                        make_small(folder / "shop")
    finally:
        if server:
            server[0].__exit__(None, None, None)
    assert "flyball run" in seen and any(command.startswith("flyball subject erase") for command in seen)


def is_recorded(folder: Path, request: str) -> bool:
    return request in {row["id"] for row in ok_lines("requests", cwd=folder)}


def make_small(root: Path) -> None:
    """The same project with fewer rows and steps, so that a test can wait for it."""
    write_tickets(root / "tickets.jsonl", rows=700)
    settings = (root / "flyball.yaml").read_text()
    settings = settings.replace("steps: 400", SMALL).replace("at_least: 0.6", "at_least: 0.05")
    (root / "flyball.yaml").write_text(settings)


def run_python(text: str, urls: dict[str, str]) -> str:
    """The tutorial's Python, against the port of this test."""
    eventually(lambda: ready(urls["gateway"]))
    code = text.replace("http://127.0.0.1:8080", urls["gateway"])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ready(gateway: str) -> bool:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"{gateway}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False
