"""What flyball.yaml names beside itself: paths with ${VARIABLE}, secrets as env:NAME or file:PATH. I/O: both."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from flyball.errors import InputError, NotFoundError


def expand(path: str, root: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """A path of flyball.yaml with ${VARIABLE} filled in, relative to the project's folder."""
    try:
        return (root / Path(filled(path, environment)).expanduser()).resolve()
    except (RuntimeError, OSError) as error:  # what Python says of a link that leads back to itself
        raise InputError(f"{path} leads nowhere: {error}", cure="check the links on the way to it") from error


def filled(path: str, environment: Mapping[str, str]) -> str:
    """The text with each ${VARIABLE} replaced; InputError for one that is not set."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environment:
            raise InputError(f"{path}: the environment variable {name} is not set", cure=f"export {name}=…")
        return environment[name]

    return re.sub(r"\$\{(\w+)\}", fill, path)


def secret(reference: str, root: Path, environment: Mapping[str, str] = os.environ) -> str:
    """The secret that `env:NAME` or `file:PATH` names; files must have mode 0600."""
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in environment:
            raise InputError(f"the environment variable {name} is not set", cure=f"export {name}=…")
        return environment[name]
    if kind == "file":
        path = expand(name, root, environment)
        if not path.is_file():
            raise NotFoundError(f"no secret file {path}", cure="run `flyball init`, or copy it from a colleague")
        if path.stat().st_mode & 0o077:
            raise InputError(f"{path} can be read by others", cure=f"chmod 600 {path}")
        return path.read_text(encoding="utf-8").strip()
    what = f"{reference[:3]}…" if len(reference) > 8 else "that"  # it may be the secret itself
    raise InputError(f"{what} is not a secret reference", cure="use env:NAME or file:PATH")
