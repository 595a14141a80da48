"""The last keyring, kept for a start without the ledger. I/O: one sealed file, mode 0600.

It holds hashes of keys, never keys, sealed with the project's key: nobody without that key can read it, or plant one.
Revoked keys in it stay revoked, and expired ones expired. Of several writers the one that read the ledger last wins.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from flyball.errors import CorruptionError
from flyball.security.keys import ProjectKey
from flyball.security.principals import KeyEntry, Keyring
from flyball.security.sealing import seal, unseal
from flyball.whole_files import held, replace_file

FILE = "keyring"
"""Its name in a project's run folder, or a gateway's state folder."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A keyring and when the ledger said so, in Unix milliseconds."""

    at_ms: int
    entries: list[tuple[str, KeyEntry]]


def keep(path: Path, keyring: Keyring, key: ProjectKey, *, project: str, at_ms: int) -> None:
    """Write the keyring unless a later one is there; the file is replaced whole."""
    sealed = seal(
        key.seal_key,
        msgspec.json.encode(Kept(at_ms=at_ms, entries=list(keyring.entries))),
        context=_context(project),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with held(path.with_name(path.name + ".lock")):
        known = _last(path, key, project)
        if known is not None and known.at_ms > at_ms:
            return
        replace_file(path, sealed, durable=True, mode=0o600)


def kept(path: Path, key: ProjectKey, *, project: str) -> tuple[Keyring, int] | None:
    """The keyring of the file and when it was read; None without one. CorruptionError when it is not this project's."""
    if not path.is_file():
        return None
    try:
        found = msgspec.json.decode(unseal(key.seal_key, path.read_bytes(), context=_context(project)), type=Kept)
    except (CorruptionError, msgspec.MsgspecError) as error:
        raise CorruptionError(
            f"the kept keyring {path} was not sealed with this project's key, or is damaged",
            cure=f"start the ledger; then {path.name} is written again (it may be deleted)",
        ) from error
    return Keyring(found.entries), found.at_ms


def _last(path: Path, key: ProjectKey, project: str) -> Kept | None:
    try:
        return msgspec.json.decode(unseal(key.seal_key, path.read_bytes(), context=_context(project)), type=Kept)
    except (FileNotFoundError, CorruptionError, msgspec.MsgspecError):
        return None  # whatever is there is none of ours and is replaced


def _context(project: str) -> bytes:
    return b"keyring\0" + project.encode()
