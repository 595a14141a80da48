"""DVC's experiments: their names, and what they built, as the cache has it. I/O: git, DVC's cache.

DVC keeps an experiment as a commit under refs/exps, and its outputs in the cache: nothing is checked out, and DVC
itself, which takes a second to load, is not asked.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from flyball.dvc.pipeline import STAGES, parse_yaml, stages_of
from flyball.errors import ConfigError, NotFoundError

REF = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(?P<name>[^/]+)")
"""The commit that an experiment started from is in the middle; DVC keeps other things under refs/exps too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment: its name, and the object in DVC's cache of each of our outputs."""

    name: str
    outputs: Mapping[str, str]


class _Listed(msgspec.Struct, frozen=True):
    """One file of a folder in DVC's cache."""

    md5: str
    relpath: str


def experiments(root: Path) -> Iterator[Experiment]:
    """The experiments of the project in `root` that came to an evaluation, oldest first; none without git."""
    shown = _git(root, "for-each-ref", "--sort=committerdate", "--format=%(objectname) %(refname)", "refs/exps")
    for line in shown.splitlines():
        commit, _, ref = line.partition(" ")
        known = REF.fullmatch(ref)
        if known is None:
            continue
        outputs = outputs_in(_git(root, "show", f"{commit}:./dvc.lock"))
        if "evaluation" in outputs:
            yield Experiment(name=known["name"], outputs=outputs)


def outputs_in(lock: str) -> dict[str, str]:
    """The folder that each of our stages made, by its object's name, of a dvc.lock; none of a broken one."""
    try:
        stages = stages_of(parse_yaml(lock, Path("dvc.lock")))
    except ConfigError:
        return {}
    outputs = [one for stage in stages.values() if isinstance(stage, dict) for one in stage.get("outs") or ()]
    made = {str(one.get("path")): str(one.get("md5")) for one in outputs if isinstance(one, dict)}
    return {stage: made[f"loop/{stage}"] for stage in STAGES if made.get(f"loop/{stage}", "").endswith(".dir")}


def usual_cache(root: Path) -> Path:
    """Where DVC's cache is unless its settings say otherwise."""
    around = next((folder for folder in (root, *root.parents) if (folder / ".dvc").is_dir()), root)
    return around / ".dvc" / "cache"


def link_output(cache: Path, name: str, folder: Path) -> None:
    """A folder of DVC's cache under its files' own names, as links; it may be there already."""
    try:
        listed = msgspec.json.decode(cached(cache, name).read_bytes(), type=list[_Listed])
    except (OSError, msgspec.MsgspecError) as error:
        raise NotFoundError(f"its {folder.name} is not in DVC's cache {cache}", cure="`dvc exp pull`") from error
    for file in listed:
        path = folder / file.relpath
        if not path.resolve().is_relative_to(folder.resolve()) and not path.is_symlink():
            raise NotFoundError(f"{file.relpath} leads out of its {folder.name}", cure="`dvc exp remove` it")
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_symlink():
            path.symlink_to(cached(cache, file.md5))


def cached(cache: Path, name: str) -> Path:
    return cache.resolve() / "files" / "md5" / name[:2] / name[2:]


def _git(root: Path, *arguments: str) -> str:
    """What git says; nothing where there is no git, no repository or no such thing."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""
