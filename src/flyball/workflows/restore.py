"""`flyball restore`: a project from a backup, in a folder and a database that hold none yet. I/O: all of them.

The ledger's rows in one transaction, then files, each checked against its hash; then everybody is erased who was erased
since that backup. Killed anywhere, the same command goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import Engine, func, select

from flyball.compliance.tombstones import copy_tombstones, erased_since
from flyball.errors import CorruptionError, EnvironmentMissing, InputError, RefusedError
from flyball.security import audit
from flyball.security.keys import ProjectKey, parse_project_key
from flyball.settings import load_settings
from flyball.storage import tables
from flyball.storage.backups.ledger_rows import check_empty, put_rows
from flyball.storage.backups.manifest import Manifest, read_manifest
from flyball.storage.backups.objects import Objects
from flyball.storage.backups.places import Folder, Place, open_place
from flyball.storage.connections import connect
from flyball.storage.schema import bring_to, bring_up_to_date
from flyball.whole_files import replace_file
from flyball.wiring import Project
from flyball.workflows.backup import remember, sealed_objects
from flyball.workflows.erase import erase_subject

MARK = "restoring.json"
"""In `.flyball/` while a restore is not over: which backup it is of, and whether all of it is here."""
_ALL_HERE = " erasing"
"""After the backup's id: what erasures changed since is neither compared with the backup nor fetched again."""


def restore(
    url: str,
    root: Path,
    *,
    id: str | None = None,
    key: Path | None = None,
    say: Callable[[str], None],
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Restore a backup into `root`; what came back. RefusedError where a project has state already."""
    place = open_place(url)
    root = root.resolve()
    mark = root / ".flyball" / MARK
    begun, step, _ = (mark.read_text() if mark.is_file() else "").partition(_ALL_HERE)
    made = read_manifest(place, id or begun or None)
    _check_target(root, begun, made)
    project_key = _key(root, made, key)
    objects = sealed_objects(place, project_key)
    if not step:
        replace_file(mark, made.id.encode(), durable=True)
    kept = [] if (root / "flyball.yaml").exists() else _fetch(root, made, objects, progress, only="flyball.yaml")
    project = Project(root=root, settings=load_settings(root))
    if project.name != made.project:
        raise InputError(
            f"{root / 'flyball.yaml'} is of project {project.name}, the backup of {made.project}",
            cure="restore into an empty folder",
        )
    _put_key(project, key)
    if not step:
        _restore_ledger(project, made, objects)
        kept += _fetch(root, made, objects, progress)
        replace_file(mark, (made.id + _ALL_HERE).encode(), durable=True)
    copy_tombstones(place, Folder(project.places.state))
    remember(project, place.url)
    try:
        erased = _erase_again(project, place, say)
        audit.verify(project.ledger)
    finally:
        project.close()
    mark.unlink()
    return {
        "id": made.id,
        "project": made.project,
        "at_ms": made.at_ms,
        "requests": made.rows["requests"],
        "records": made.rows["records"],
        "files": len(made.files),
        "erased_again": erased,
        "kept": kept,
    }


def _check_target(root: Path, begun: str, made: Manifest) -> None:
    state = root / ".flyball"
    if begun:
        if begun != made.id:
            raise RefusedError(
                f"{root} holds a part of the backup {begun}",
                cure="go on with it (without --at), or take another folder",
            )
        return
    there = [path.name for path in state.iterdir() if path.name != "keys"] if state.is_dir() else []
    if there:
        raise RefusedError(
            f"{state} holds a project's state already ({min(there)})", cure="restore into an empty folder, or a clone"
        )


def _key(root: Path, made: Manifest, given: Path | None) -> ProjectKey:
    """The key that opens the backup: a file that is given, or the one that a clone's flyball.yaml names."""
    if given is not None:
        project_key = parse_project_key(given.read_text(encoding="utf-8").strip())
    elif (root / "flyball.yaml").is_file():
        project_key = Project(root=root, settings=load_settings(root)).key
    else:
        raise EnvironmentMissing(
            f"the key of project {made.project} is not here: no backup holds it",
            cure="flyball restore URL --key FILE, with the copy of .flyball/keys/project.key that is kept apart",
        )
    if project_key.public_key != made.public_key:
        raise InputError("this is not the key of that project", cure="give the one that was in use at the backup")
    if not project_key.verify(made.signed_bytes(), made.signature):
        raise CorruptionError(f"the backup {made.id} was changed after it was signed", cure="restore another")
    return project_key


def _put_key(project: Project, given: Path | None) -> None:
    """Put a key that was given where flyball.yaml looks for it."""
    kind, _, name = project.settings.security.project_key.partition(":")
    if given is not None and kind == "file" and not (project.home / name).exists():
        replace_file(project.home / name, given.read_bytes(), durable=True, mode=0o600)


def _restore_ledger(project: Project, made: Manifest, objects: Objects) -> None:
    engine = connect(project.ledger_url)
    try:
        bring_to(engine, made.schema)
        is_here = any(made.rows.values()) and _counts(engine, made) == made.rows  # killed after this step
        if not is_here:
            check_empty(engine)
            with engine.begin() as connection:
                put_rows(connection, made.tables, objects)
        bring_up_to_date(engine)
    finally:
        engine.dispose()


def _counts(engine: Engine, made: Manifest) -> dict[str, int]:
    known = {each.name: each for each in tables.metadata.sorted_tables}
    with engine.connect().execution_options(readonly=True) as connection:
        return {
            name: connection.execute(select(func.count()).select_from(known[name])).scalar_one()
            for name in made.rows
            if name in known
        }


def _fetch(
    root: Path, made: Manifest, objects: Objects, progress: Callable[[str, int, int], None], *, only: str | None = None
) -> list[str]:
    """Write the files of a backup; those of the project's folder that exist with other content stay, and are named."""
    kept = []
    wanted = [file for file in made.files if only in (None, file.path)]
    for number, file in enumerate(wanted, 1):
        relative = PurePosixPath(file.path)
        if relative.is_absolute() or ".." in relative.parts:
            raise CorruptionError(f"the path {file.path!r} leads out of the project", cure="restore another backup")
        target = root / relative
        if target.is_file():
            if not objects.is_same(file.objects, target):
                kept.append(file.path)
            continue
        objects.fetch(file.objects, target)
        progress("files", number, len(wanted))
    return kept


def _erase_again(project: Project, place: Place, say: Callable[[str], None]) -> int:
    """Erase everybody who was erased after the backup; how many those are."""
    people = list(erased_since(place, project.ledger, project.key))
    for subject in people:
        erase_subject(project, subject, say=say)
    return len(people)
