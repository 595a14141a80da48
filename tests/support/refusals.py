"""Run a command that must be refused, and check what every refusal owes its user."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from small_shop import Result, flyball

TINY = """\
version: 1
project: shop
data:
  sources: [{path: rows.jsonl, fields: {text: text, label: label}}]
"""


def refused(*arguments: str, cwd: Path, code: int, timeout_s: float = 120, **environment: str) -> str:
    """Run with --json; the message, checked: exit code, JSON on standard output, cause and cure, no traceback."""
    result = flyball(*arguments, "--json", cwd=cwd, timeout_s=timeout_s, environment=environment)
    return check_refusal(result, code)


def check_refusal(result: Result, code: int) -> str:
    """The message and cure of a refusal with --json, after checking its form."""
    said = f"\nexit code {result.code}\n{result.out}\n{result.err}"
    assert result.code == code, said
    assert "Traceback" not in result.out + result.err and "a bug in Flyball" not in result.err, said
    error: Mapping[str, str] = json.loads(result.out)["error"]
    assert error["code"] and error["message"] and error["cure"], said
    errors = [line for line in result.err.splitlines() if line.startswith("error:")]
    assert result.err.count(error["message"]) == 1 and len(errors) == 1, said
    assert error["cure"].splitlines()[0] in result.err, said
    return f"{error['message']}\n{error['cure']}"


def contents(folder: Path, *, but: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Every file under a folder, but for those whose path begins with one of `but`."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = {str(path.relative_to(folder)): path for path in paths}
    return {name: path.read_bytes() for name, path in named.items() if not name.startswith(but)}
