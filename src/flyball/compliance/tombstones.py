"""Tombstones: who was erased, for whoever restores a backup from before. I/O: a folder, and places of backups.

A backup keeps what it held when it was made, so the person's name has to outlive the erasure: sealed with the project's
key, in a file named by the keyed hash. It is removed with the last backup that is older.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from flyball.compliance.erasure import find_receipt
from flyball.compliance.subjects import Person, person_of
from flyball.errors import CorruptionError
from flyball.security.keys import ProjectKey
from flyball.security.sealing import seal, unseal
from flyball.storage.backups.places import Folder, Place
from flyball.storage.ledger import Ledger, now_ms

FOLDER = "tombstones"


class Tombstone(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure: when it was asked for, and of whom (sealed)."""

    at_ms: int
    sealed: bytes


def keep_tombstone(state: Path, project_key: ProjectKey, subject: str) -> None:
    """Note on this machine that somebody asks to be erased, before anything is removed."""
    person = person_of(project_key, subject)
    sealed = seal(project_key.seal_key, person.subject.encode(), context=_context(person))
    stone = Tombstone(at_ms=now_ms(), sealed=sealed)
    Folder(state).write(f"{FOLDER}/{person.hash}", msgspec.json.encode(stone))


def copy_tombstones(source: Place, target: Place) -> int:
    """Bring the tombstones of one place to another; how many were new there, or later."""
    there = {name: _read(target, name).at_ms for name in target.names(FOLDER)}
    stones = {name: _read(source, name) for name in source.names(FOLDER)}
    fresh = {name: stone for name, stone in stones.items() if stone.at_ms > there.get(name, -1)}
    for name, stone in fresh.items():
        target.write(name, msgspec.json.encode(stone))
    return len(fresh)


def erased_since(place: Place, ledger: Ledger, project_key: ProjectKey) -> Iterator[str]:
    """Names of those whose erasure a restored ledger does not know of."""
    for _, subject, ended_ms in _erasures(place, ledger, project_key):
        if ended_ms is None:
            yield subject


def remove_older(place: Place, ledger: Ledger, project_key: ProjectKey, *, at_ms: int) -> int:
    """Remove the tombstones of erasures that ended before a moment: no backup that is left holds those people.

    A backup that began while somebody was being erased may hold them still.
    """
    ended = _erasures(place, ledger, project_key)
    old = [name for name, _, ended_ms in ended if ended_ms is not None and ended_ms < at_ms]
    for name in old:
        place.delete(name)
    return len(old)


def _erasures(place: Place, ledger: Ledger, project_key: ProjectKey) -> Iterator[tuple[str, str, int | None]]:
    """Each tombstone's name, who it is of, and when that erasure ended; None where the ledger has no receipt of it."""
    for name in place.names(FOLDER):
        stone = _read(place, name)
        person = Person(subject="", hash=name.rpartition("/")[2])
        subject = unseal(project_key.seal_key, stone.sealed, context=_context(person)).decode()
        receipt = find_receipt(ledger, project_key=project_key, subject=subject)
        is_over = receipt is not None and receipt.at_ms >= stone.at_ms
        yield name, subject, receipt.at_ms if receipt and is_over else None


def _read(place: Place, name: str) -> Tombstone:
    try:
        return msgspec.json.decode(place.read(name), type=Tombstone)
    except msgspec.MsgspecError as error:
        raise CorruptionError(
            f"{place.url}/{name} is not a tombstone: {error}", cure="erase that person again after the restore"
        ) from error


def _context(person: Person) -> bytes:
    return b"tombstone\0" + person.hash.encode()
