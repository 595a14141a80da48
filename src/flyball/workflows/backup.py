"""`flyball backup`: the ledger, waiting segments, artefacts, reports and rows of a project, while it serves. I/O: all.

Segments first, then the ledger in one reading transaction, then files: what the ingester moves meanwhile is in the
segment, in the ledger or in both, and taking a request in twice adds it once. Nothing that was acknowledged before the
backup began is missing. All is sealed with the project's key, which is never in it.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from flyball import __version__
from flyball.compliance.tombstones import copy_tombstones, remove_older
from flyball.errors import CorruptionError, FlyballError, InputError
from flyball.records.identity import uuid7
from flyball.security.keys import ProjectKey
from flyball.security.sealing import seal, unseal
from flyball.settings import read_yaml, source_path
from flyball.storage.backups import manifest as manifests
from flyball.storage.backups.ledger_rows import keep_rows
from flyball.storage.backups.manifest import KeptFile, Manifest
from flyball.storage.backups.objects import Objects
from flyball.storage.backups.places import Folder, Place, open_place
from flyball.storage.ledger import now_ms
from flyball.storage.schema import HEAD
from flyball.whole_files import held, replace_file
from flyball.wiring import Project

PLACES = "backups.json"
"""Where this project's backups are, so that an erasure can leave word there; in `.flyball/`."""

_KEYS = "keys"
_MACHINE = frozenset(
    {_KEYS, "run", "logs", "partial", "metrics", "checkpoints", "restoring.json", "tombstones", PLACES}
)
"""In `.flyball/`: what belongs to running processes, or is made again."""

_PIPELINE = ("flyball.yaml", "gate.yaml", "dvc.yaml", "dvc.lock", ".dvc/config", ".dvcignore", ".gitignore", "*.dvc")


def back_up(
    project: Project, url: str, *, keep: int | None = None, progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Add a backup at a path or URL; what it holds and what was new there."""
    if keep is not None and keep < 1:
        raise InputError(f"--keep {keep} would keep no backup", cure="give 1 or more")
    place = open_place(url)
    if isinstance(place, Folder) and project.root.resolve() in (place.root, *place.root.parents):
        raise InputError(f"{url} is inside the project", cure="give a folder of another disk, or a URL such as s3://…")
    state = project.places.state
    with held(state / "backup.lock"):
        known = _earlier(project, place)
        remember(project, place.url)  # first: an erasure that begins meanwhile leaves word there
        objects = sealed_objects(place, project.key)
        began = now_ms()
        segments = _kept(project, objects, list(_files(project.places.segments)), known, progress, "segments")
        with project.ledger.read() as connection:
            tables, rows = keep_rows(connection, project.ledger, objects)
        files = _kept(project, objects, list(_state_files(project)), known, progress, "files")
        files += _snapshots(project, objects)
        unsigned = Manifest(
            id=time.strftime("%Y%m%dT%H%M%S", time.gmtime(began / 1000)) + f"{began % 1000:03d}Z-{uuid7()[-4:]}",
            project=project.name,
            at_ms=began,
            flyball=__version__,
            schema=HEAD,
            tables=tables,
            rows=rows,
            files=tuple(sorted(segments + files, key=lambda file: file.path)),
            public_key=project.key.public_key,
        )
        made = msgspec.structs.replace(unsigned, signature=project.key.sign(unsigned.signed_bytes()))
        copy_tombstones(Folder(state), place)
        manifests.write_manifest(place, made)
        removed = _prune(project, place, objects, keep) if keep else 0
    return {
        "id": made.id,
        "place": place.url,
        "requests": rows["requests"],
        "records": rows["records"],
        "files": len(made.files),
        "size_bytes": sum(file.size_bytes for file in made.files),
        "added_bytes": objects.added_bytes,
        "removed_backups": removed,
        "left_out": sorted(str(path.relative_to(project.root)) for path in secret_files(project)),
    }


def sealed_objects(place: Place, key: ProjectKey) -> Objects:
    """The objects of a project at a place, under keys that only the holder of the project's key can derive."""
    return Objects(
        place,
        name_key=bytes.fromhex(key.hash("backup", "objects")),
        seal=lambda data, name: seal(key.seal_key, data, context=b"backup\0" + name),
        unseal=lambda data, name: unseal(key.seal_key, data, context=b"backup\0" + name),
    )


def backups_at(url: str) -> list[dict[str, Any]]:
    """The backups at a place, the oldest first."""
    found = manifests.readable(open_place(url))
    return [
        {
            "id": one.id,
            "project": one.project,
            "at_ms": one.at_ms,
            "requests": one.rows["requests"],
            "flyball": one.flyball,
        }
        for one in found
    ]


def leave_word(project: Project, say: Callable[[str], None]) -> None:
    """Bring this machine's tombstones to each place of backups; one that cannot be reached gets them with its next."""
    for url in places_of(project):
        try:
            copy_tombstones(Folder(project.places.state), open_place(url))
        except (OSError, FlyballError) as error:
            say(f"{url} could not be told of the erasure: {error}\n  → run `flyball backup {url}` once it is back")


def places_of(project: Project) -> list[str]:
    """Where backups of this project were put."""
    path = project.places.state / PLACES
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError as error:
        raise CorruptionError(f"{path} cannot be read: {error}", cure="delete it, and back up once more") from error


def secret_files(project: Project) -> list[Path]:
    """Keys of the project and files that flyball.yaml names as secrets: they are no part of a backup."""
    named = [*_texts(read_yaml(project.root / "flyball.yaml")), project.settings.security.project_key]
    files = {(project.home / text.removeprefix("file:")).resolve() for text in named if text.startswith("file:")}
    files |= {path.resolve() for path in _files(project.places.state / _KEYS)}
    return [path for path in files if path.is_file() and path.is_relative_to(project.root.resolve())]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(part)


def _earlier(project: Project, place: Place) -> dict[str, KeptFile]:
    """Files of the newest backup here by path; InputError where it is another project's."""
    known = manifests.readable(place)
    if not known:
        return {}
    newest = known[-1]
    if (newest.project, newest.public_key) != (project.name, project.key.public_key):
        raise InputError(
            f"{place.url} holds backups of project {newest.project} under another key", cure="give each project its own"
        )
    return {file.path: file for file in newest.files}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _state_files(project: Project) -> Iterator[Path]:
    state, secrets = project.places.state, set(secret_files(project))
    for path in _files(state):
        first = path.relative_to(state).parts[0]
        is_left_out = first in _MACHINE or first == project.places.segments.name or first[0] == "."
        is_database = path.parent == state and path.name.startswith(("ledger.db", "mlflow.db"))
        if not (is_left_out or is_database or path.suffix == ".lock" or path.resolve() in secrets):
            yield path
    sources = (source_path(source.path, project.root) for source in project.settings.data.sources)
    own = [project.places.loop, *(path for path in sources if path.is_relative_to(project.root))]
    for path in (path for place in own for path in ([place] if place.is_file() else _files(place))):
        if path.resolve() not in secrets:
            yield path
    yield from (path for name in _PIPELINE for path in sorted(project.root.glob(name)) if path.is_file())


def _kept(
    project: Project,
    objects: Objects,
    paths: list[Path],
    known: dict[str, KeptFile],
    progress: Callable[[str, int, int], None],
    what: str,
) -> list[KeptFile]:
    kept = []
    for number, path in enumerate(paths, 1):
        name = path.relative_to(project.root).as_posix()
        if not name.isascii() and name != name.encode("utf-8", "replace").decode():
            raise InputError(f"the name of {name!r} is not UTF-8: no backup can list it", cure="rename that file")
        try:
            status = path.stat()
            before = known.get(name)
            is_same = before and (before.size_bytes, before.mtime_ns) == (status.st_size, status.st_mtime_ns)
            if before and is_same and objects.known.issuperset(before.objects):
                kept.append(before)
                continue
            pieces, size = objects.keep_file(path)
        except FileNotFoundError:
            continue  # a segment that was filed, an artefact that was removed: the ledger, read later, knows
        kept.append(KeptFile(path=name, objects=pieces, size_bytes=size, mtime_ns=status.st_mtime_ns))
        progress(what, number, len(paths))
    return kept


def _snapshots(project: Project, objects: Objects) -> list[KeptFile]:
    """The tracking database, copied by SQLite while others write to it."""
    path = project.places.state / "mlflow.db"
    if not path.is_file():
        return []
    with tempfile.TemporaryDirectory(prefix="flyball-backup-") as folder:
        copy = Path(folder) / path.name
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        pieces, size = objects.keep_file(copy)
    return [KeptFile(path=path.relative_to(project.root).as_posix(), objects=pieces, size_bytes=size, mtime_ns=0)]


def remember(project: Project, url: str) -> None:
    """Note on this machine that backups of the project are at a place."""
    known = places_of(project)
    if url not in known:
        replace_file(project.places.state / PLACES, msgspec.json.encode([*known, url]), durable=True)


def _prune(project: Project, place: Place, objects: Objects, keep: int) -> int:
    """Remove all but the newest backups, then objects and tombstones that no other needs."""
    left = manifests.readable(place)[-keep:]
    removed = set(manifests.ids(place)) - {one.id for one in left}  # among them what nobody can read
    for id in removed:
        place.delete(f"{manifests.FOLDER}/{id}.json")
    objects.remove_others(name for one in left for name in one.objects())
    remove_older(place, project.ledger, project.key, at_ms=min(one.at_ms for one in left))
    return len(removed)
