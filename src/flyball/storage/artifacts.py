"""Artefacts by name: folders of files that serving may load, each file checked against its hash. I/O: one folder.

A name is in the store whole or not at all: files are gathered beside it and appear in one rename.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath

from flyball.errors import CorruptionError, InputError, NotFoundError
from flyball.records import FileRef

_INCOMING = ".incoming-"
_WORTH_SHARING = 65_536  # bytes; a smaller file costs less than the look for its twin
_STALE_S = 86_400  # what a killed process left behind is removed a day later


class ArtifactStore:
    """The artefacts under one folder, one sub-folder per name."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, folder: Path, files: tuple[FileRef, ...]) -> Path:
        """Take `files` of `folder` in under `name`, checked; does nothing when the name is there already."""
        target = self._target(name)
        if target.is_dir():
            return target
        self.root.mkdir(parents=True, exist_ok=True)
        self._sweep()
        incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.root))
        try:
            for file in files:
                _bring(folder / _inside(file.path), incoming / file.path)
            _verify(incoming, name, files)
            for file in files:
                self._share(incoming / file.path, file)
            incoming.chmod(0o755)
            _move_in(incoming, target)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return target

    def path(self, name: str) -> Path:
        """The folder of an artefact; NotFoundError when it is not here."""
        target = self._target(name)
        if not target.is_dir():
            raise NotFoundError(
                f"no artefact {name} in {self.root}", cure="run `flyball package`, or `dvc pull` to fetch it"
            )
        return target

    def verify(self, name: str, files: tuple[FileRef, ...]) -> None:
        """Raise CorruptionError, naming the file, unless every file is there and has its hash."""
        _verify(self.path(name), name, files)

    def delete(self, name: str) -> None:
        """Remove an artefact; it is gone at once, even when the process dies half-way."""
        target = self._target(name)
        if target.is_dir():
            grave = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self.root))
            target.replace(grave / name)
            shutil.rmtree(grave)

    def names(self) -> list[str]:
        """Every artefact here, sorted."""
        if not self.root.is_dir():
            return []
        return sorted(entry.name for entry in self.root.iterdir() if entry.is_dir() and entry.name[0] != ".")

    def _share(self, path: Path, file: FileRef) -> None:
        """Make a file another name of the same one that an artefact here has, so that its bytes are stored once."""
        for name in self.names() if file.size_bytes >= _WORTH_SHARING else ():
            other = self.root / name / file.path
            with suppress(OSError):  # removed meanwhile, or as many names as its disk allows
                if other.samefile(path):
                    return
                if other.stat().st_size == file.size_bytes and _sha256(other) == file.sha256:
                    beside = path.with_name(f".{path.name}.shared")
                    beside.hardlink_to(other)
                    beside.replace(path)
                    return

    def _target(self, name: str) -> Path:
        if not name or name.startswith(".") or "/" in name:
            raise InputError(f"{name!r} is not a name of an artefact", cure="use the model's fingerprint")
        return self.root / name

    def _sweep(self) -> None:
        for entry in self.root.glob(f"{_INCOMING}*"):
            with suppress(FileNotFoundError):  # its owner has moved it in meanwhile
                if time.time() - entry.stat().st_mtime > _STALE_S:
                    shutil.rmtree(entry, ignore_errors=True)


def file_refs(folder: Path) -> tuple[FileRef, ...]:
    """Every file under `folder` with its size and hash, sorted by path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(
        FileRef(path=path.relative_to(folder).as_posix(), size_bytes=path.stat().st_size, sha256=_sha256(path))
        for path in paths
    )


def _verify(folder: Path, name: str, files: tuple[FileRef, ...]) -> None:
    for file in files:
        path = folder / _inside(file.path)
        problem = ""
        if not path.is_file():
            problem = "is missing"
        elif path.stat().st_size != file.size_bytes:
            problem = f"has {path.stat().st_size} bytes instead of {file.size_bytes}"
        elif (found := _sha256(path)) != file.sha256:
            problem = f"has SHA-256 {found[:12]}… instead of {file.sha256[:12]}…"
        if problem:
            raise CorruptionError(
                f"{file.path} of artefact {name} {problem}",
                cure="run `flyball package` to make it again, or `dvc pull --force` to fetch it",
            )


def _inside(path: str) -> PurePosixPath:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts:
        raise InputError(f"the path {path!r} leads out of its artefact", cure="use paths inside the folder")
    return relative


def _bring(source: Path, target: Path) -> None:
    if not source.is_file():
        raise NotFoundError(f"no file {source}", cure="run `flyball package`, or `dvc pull` to fetch it")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def _move_in(incoming: Path, target: Path) -> None:
    try:
        incoming.rename(target)
    except OSError:
        if not target.is_dir():  # not another process that put the same artefact
            raise


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
