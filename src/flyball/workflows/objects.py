"""What DVC keeps of older contents: finds the objects that name a person, and removes them. I/O: cache, remotes.

DVC itself cannot delete single objects. One is found by what is in it: the person's identifier in a raw source, or
the person's keyed hash in a dataset. The pipeline's run cache forgets the outputs that such objects were part of.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flyball.compliance.bytesearch import search
from flyball.compliance.people import Person
from flyball.wiring import Project
from flyball.workflows.running_dvc import environment


def cache_folder(project: Project) -> Path | None:
    """DVC's cache on this machine; None where DVC is not set up."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "cache", "dir"],
        cwd=project.root,
        env=environment(project),
        capture_output=True,
        text=True,
    )
    path = Path(done.stdout.strip())
    return path if done.returncode == 0 and path.is_dir() else None


def naming(project: Project, person: Person) -> list[Path]:
    """The objects in DVC's cache that name the person, and the folder listings that contain them."""
    cache = cache_folder(project)
    if cache is None:
        return []
    names = identifiers(project, person)
    objects = {hit.path for hit in search([cache / "files"], names)} if (cache / "files").is_dir() else set()
    return sorted(objects | listings(cache, {digest(path) for path in objects}))


def identifiers(project: Project, person: Person) -> list[str]:
    """How a person is named: the keyed hash, and the identifier as a raw source writes it."""
    fields = {source.fields.subject for source in project.settings.data.sources if source.fields.subject}
    written = [f'"{field}": "{person.subject}"' for field in fields] + [
        f'"{field}":"{person.subject}"' for field in fields
    ]
    plain = [person.subject] if len(person.subject) >= 4 else []
    return [person.hash, *written, *plain]


def digest(path: Path) -> str:
    """The content address that a path in the cache stands for."""
    return path.parent.name + path.name.removesuffix(".dir")


def listings(cache: Path, digests: set[str]) -> set[Path]:
    """Folder listings (`*.dir`) and run-cache entries that contain any of these objects, and listings of those."""
    if not digests:
        return set()
    found = {path for path in cache.rglob("*.dir") if any(name in path.read_text("utf-8") for name in digests)}
    wanted = digests | {digest(path) for path in found}
    runs = cache / "runs"
    if runs.is_dir():
        pattern = re.compile("|".join(sorted(wanted)))
        found |= {
            path for path in runs.rglob("*") if path.is_file() and pattern.search(path.read_text("utf-8", "replace"))
        }
    return found


def remove(project: Project, paths: Iterable[Path]) -> int:
    """Delete objects from the cache and from every configured remote; how many were removed from the cache."""
    paths = list(paths)
    cache = cache_folder(project)
    if cache is None or not paths:
        return 0
    for store in remotes(project):
        for path in paths:
            if path.is_relative_to(cache / "files"):
                target = store.oid_to_path(path.parent.name + path.name)
                if store.fs.exists(target):
                    store.fs.remove(target)
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def remotes(project: Project) -> list[Any]:
    """The object store of each DVC remote."""
    from dvc.repo import Repo  # the build's library; heavy

    with Repo(str(project.root)) as repo:
        return [repo.cloud.get_remote_odb(name) for name in repo.config["remote"]]
