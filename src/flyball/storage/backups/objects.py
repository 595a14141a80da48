"""Objects of a backup: pieces of at most 16 MiB, sealed, each named by the keyed hash of what it holds. I/O: a place.

What did not change is stored once, and nobody without the project's key can read a piece, guess what it holds or
exchange it for another. Objects go first and the manifest that lists them last: a backup that was killed leaves
objects that the next one uses, or that pruning removes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from flyball.errors import CorruptionError
from flyball.storage.backups.places import Place

FOLDER = "objects"
_PIECE = 16 << 20

Seal = Callable[[bytes, bytes], bytes]
"""(data, context) to sealed data, or back; the latter raises CorruptionError."""


class Objects:
    """The objects at a place; `added_bytes` is what this run brought there."""

    def __init__(self, place: Place, *, name_key: bytes, seal: Seal, unseal: Seal) -> None:
        self.place = place
        self.added_bytes = 0
        self._name_key, self._seal, self._unseal = name_key, seal, unseal

    @cached_property
    def known(self) -> set[str]:
        return {name.rpartition("/")[2] for name in self.place.names(FOLDER)}

    def keep(self, data: bytes) -> str:
        """The name of these bytes, which are there once this returns."""
        name = self._name(data)
        if name not in self.known:
            sealed = self._seal(data, name.encode())
            self.place.write(_path(name), sealed)
            self.known.add(name)
            self.added_bytes += len(sealed)
        return name

    def keep_file(self, file: Path) -> tuple[tuple[str, ...], int]:
        """The names of a file's pieces, and its size, as it was read, though somebody writes to it meanwhile."""
        names, size = [], 0
        with file.open("rb") as source:
            while piece := source.read(_PIECE):
                names.append(self.keep(piece))
                size += len(piece)
        return tuple(names), size

    def read(self, name: str) -> bytes:
        """The bytes of this name; CorruptionError when they are others."""
        try:
            data = self._unseal(self.place.read(_path(name)), name.encode())
        except CorruptionError as error:
            raise self._damaged(name) from error
        if self._name(data) != name:
            raise self._damaged(name)
        return data

    def fetch(self, names: Iterable[str], target: Path) -> None:
        """Write the pieces of a file to `target`; nothing is left there when one is damaged."""
        target.parent.mkdir(parents=True, exist_ok=True)
        # a name of its own: what is as long as names may be has no room for an ending
        beside = target.with_name(f".{hashlib.sha256(target.name.encode()).hexdigest()[:16]}.restored")
        try:
            with beside.open("wb") as file:
                for name in names:
                    file.write(self.read(name))
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)

    def is_same(self, names: Iterable[str], file: Path) -> bool:
        """Whether a file holds just these pieces."""
        with file.open("rb") as source:
            return all(self._name(source.read(_PIECE)) == name for name in names) and not source.read(1)

    def remove_others(self, reached: Iterable[str]) -> int:
        """Delete what no manifest reaches; how many objects that were."""
        unused = self.known - set(reached)
        for name in unused:
            with suppress(FileNotFoundError):  # another run removed it
                self.place.delete(_path(name))
        self.known.difference_update(unused)
        return len(unused)

    def _name(self, data: bytes) -> str:
        return hmac.new(self._name_key, data, hashlib.sha256).hexdigest()

    def _damaged(self, name: str) -> CorruptionError:
        return CorruptionError(
            f"the object {name[:12]}… of the backup {self.place.url} is damaged, or sealed with another key",
            cure="restore an earlier backup (`flyball restore URL --list`), and check that disk",
        )


def _path(name: str) -> str:
    return f"{FOLDER}/{name[:2]}/{name}"
