"""Where backups are kept: a folder, or whatever fsspec reaches (S3, GCS, Azure). I/O: there.

A file appears whole or not at all: by a rename in a folder, by the one request that writes an object in a store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from flyball.errors import EnvironmentMissing, InputError, NotFoundError
from flyball.whole_files import replace_file


class Place(Protocol):
    """Files by relative path; `read` raises NotFoundError for what is not there."""

    url: str

    def write(self, path: str, data: bytes) -> None: ...

    def read(self, path: str) -> bytes: ...

    def names(self, folder: str) -> list[str]:
        """Paths of all files under a folder, sorted."""
        ...

    def delete(self, path: str) -> None: ...


def open_place(target: str) -> Place:
    """The place at a path or URL; InputError for a URL of an unknown kind."""
    if "://" not in target:
        return Folder(Path(target))
    if target.startswith("file://"):
        return Folder(Path(target.removeprefix("file://")))
    return ObjectStore(target)


class Folder:
    """A folder of this machine, or one that is mounted."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.url = str(self.root)

    def write(self, path: str, data: bytes) -> None:
        replace_file(self.root / path, data, durable=True, mode=0o600)

    def read(self, path: str) -> bytes:
        try:
            return (self.root / path).read_bytes()
        except FileNotFoundError as error:
            raise _missing(self.url, path) from error

    def names(self, folder: str) -> list[str]:
        files = (path for path in (self.root / folder).rglob("*") if path.is_file() and path.name[0] != ".")
        return sorted(path.relative_to(self.root).as_posix() for path in files)

    def delete(self, path: str) -> None:
        (self.root / path).unlink(missing_ok=True)


class ObjectStore:
    """A store that fsspec reaches; its credentials are where its own client looks for them."""

    def __init__(self, url: str) -> None:
        try:
            import fsspec  # only for those who keep backups elsewhere
        except ModuleNotFoundError as error:
            raise EnvironmentMissing("fsspec is not installed", cure='pip install "flyball[s3]"') from error
        self.url = url.rstrip("/")
        try:
            self.files: Any
            self.files, self.root = fsspec.core.url_to_fs(self.url)
        except ValueError as error:
            raise InputError(
                f"no store is known for {url!r}: {error}", cure="use a path, or s3://BUCKET/PATH"
            ) from error
        except ImportError as error:
            raise EnvironmentMissing(f"{url} cannot be reached: {error}", cure='pip install "flyball[s3]"') from error

    def write(self, path: str, data: bytes) -> None:
        self.files.pipe_file(self._at(path), data)

    def read(self, path: str) -> bytes:
        try:
            return bytes(self.files.cat_file(self._at(path)))
        except FileNotFoundError as error:
            raise _missing(self.url, path) from error

    def names(self, folder: str) -> list[str]:
        self.files.invalidate_cache()
        try:
            found = self.files.find(self._at(folder))
        except FileNotFoundError:
            return []
        return sorted(str(name).removeprefix(self.root).lstrip("/") for name in found)

    def delete(self, path: str) -> None:
        self.files.rm_file(self._at(path))

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}"


def _missing(url: str, path: str) -> NotFoundError:
    return NotFoundError(f"the backup {url} has no {path}", cure="restore an earlier one: `flyball restore URL --list`")
