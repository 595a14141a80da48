"""What one backup holds: the rows of the ledger, by table, and files, each as objects. I/O: a place."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from flyball.errors import CorruptionError, NotFoundError
from flyball.storage.backups.places import Place
from flyball.telemetry import log

FOLDER = "backups"


class KeptFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file by its path in the project, in pieces; size and time tell the next backup whether to read it again."""

    path: str
    objects: tuple[str, ...]
    size_bytes: int
    mtime_ns: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One backup. `schema`: the ledger's revision; `signature`: the project's, over all other fields."""

    id: str
    project: str
    at_ms: int
    flyball: str
    schema: str
    tables: dict[str, list[str]]
    rows: dict[str, int]
    files: tuple[KeptFile, ...]
    public_key: str
    signature: str = ""

    def objects(self) -> Iterator[str]:
        """Every object that a restore reads."""
        for chunks in self.tables.values():
            yield from chunks
        for file in self.files:
            yield from file.objects

    def signed_bytes(self) -> bytes:
        return msgspec.json.encode(msgspec.structs.replace(self, signature=""), order="sorted")


def ids(place: Place) -> list[str]:
    """The backups at a place, the newest last (their names begin with the time)."""
    return [name.rpartition("/")[2].removesuffix(".json") for name in place.names(FOLDER) if name.endswith(".json")]


def read_manifest(place: Place, id: str | None = None) -> Manifest:
    """A backup by its id, or the newest; NotFoundError where there is none."""
    known = ids(place)
    if not known or (id is not None and id not in known):
        raise NotFoundError(
            f"{place.url} holds no backup" + (f" {id}; there are {', '.join(known)}" if known else ""),
            cure="see `flyball restore URL --list`" if known else f"flyball backup {place.url}",
        )
    name = f"{FOLDER}/{id or known[-1]}.json"
    try:
        return msgspec.json.decode(place.read(name), type=Manifest)
    except msgspec.MsgspecError as error:
        raise CorruptionError(
            f"{place.url}/{name} is not a list of a backup: {error}", cure="restore another"
        ) from error


def readable(place: Place) -> list[Manifest]:
    """The backups at a place that can be read, the newest last; a warning names each other."""
    found = []
    for id in ids(place):
        try:
            found.append(read_manifest(place, id))
        except CorruptionError as error:
            log.warning("%s", error.message)
    return found


def write_manifest(place: Place, manifest: Manifest) -> None:
    """Make a backup exist: all of its objects are there by now."""
    place.write(f"{FOLDER}/{manifest.id}.json", msgspec.json.encode(manifest))
