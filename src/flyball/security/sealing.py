"""Sealed payloads and the keys of subjects: destroying a key erases all it sealed. I/O: the ledger.

AES-256-GCM (NIST SP 800-38D) with a random nonce; `context` binds a seal to its place, so that one cannot be moved to
another. Layout: one byte of version, 12 of nonce, then the ciphertext with its tag.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, delete, select

from flyball.errors import CorruptionError
from flyball.security.keys import ProjectKey
from flyball.storage import tables
from flyball.storage.batches import insert_many_new
from flyball.storage.ledger import insert_new

_VERSION = b"\x01"
_NONCE = 12
_KEY = 32


def seal(key: bytes, plain: bytes, *, context: bytes) -> bytes:
    """`plain` readable only with `key`, and only for the same `context`."""
    nonce = secrets.token_bytes(_NONCE)
    return _VERSION + nonce + AESGCM(key).encrypt(nonce, plain, _VERSION + context)


def unseal(key: bytes, sealed: bytes, *, context: bytes) -> bytes:
    """What was sealed; CorruptionError when a bit differs, or the key or the context is another."""
    if sealed[:1] != _VERSION:
        raise CorruptionError("a seal of an unknown version", cure="it was written by a newer Flyball: upgrade")
    try:
        return AESGCM(key).decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], _VERSION + context)
    except (InvalidTag, ValueError) as error:
        raise CorruptionError(
            "a seal does not open: its bytes, its key or its place differ",
            cure="check that the project key is the one it was sealed under; run `flyball doctor`",
        ) from error


class SubjectKeys:
    """One key per subject, kept wrapped by the project key."""

    def __init__(self, project_key: ProjectKey) -> None:
        self._wrap = project_key.seal_key

    def get_or_create(self, connection: Connection, project: str, subject: str) -> bytes:
        """The subject's key; made on first use."""
        key = self.get(connection, project, subject)
        if key is not None:
            return key
        key = secrets.token_bytes(_KEY)
        wrapped = seal(self._wrap, key, context=_context(project, subject))
        insert_new(connection, tables.subject_keys, {"project": project, "subject": subject, "wrapped": wrapped})
        return key

    def get_or_create_many(self, connection: Connection, project: str, subjects: Iterable[str]) -> dict[str, bytes]:
        """The keys of many subjects in three statements at most; another process may be making the same ones."""
        wanted = sorted(set(subjects))
        keys = self._find(connection, project, wanted)
        missing = [subject for subject in wanted if subject not in keys]
        if missing:
            rows = [
                {
                    "project": project,
                    "subject": subject,
                    "wrapped": seal(self._wrap, secrets.token_bytes(_KEY), context=_context(project, subject)),
                }
                for subject in missing
            ]
            insert_many_new(connection, tables.subject_keys, rows)
            keys |= self._find(connection, project, missing)
        return keys

    def _find(self, connection: Connection, project: str, subjects: list[str]) -> dict[str, bytes]:
        column = tables.subject_keys.c
        query = select(column.subject, column.wrapped).where(column.project == project, column.subject.in_(subjects))
        return {
            row.subject: unseal(self._wrap, bytes(row.wrapped), context=_context(project, row.subject))
            for row in connection.execute(query)
        }

    def get(self, connection: Connection, project: str, subject: str) -> bytes | None:
        """The subject's key; None when there is none or it was destroyed."""
        column = tables.subject_keys.c
        query = select(column.wrapped).where(column.project == project, column.subject == subject)
        wrapped = connection.execute(query).scalar_one_or_none()
        return None if wrapped is None else unseal(self._wrap, bytes(wrapped), context=_context(project, subject))

    def destroy(self, connection: Connection, project: str, subject: str) -> bool:
        """Delete the subject's key for good; False when there was none."""
        column = tables.subject_keys.c
        statement = delete(tables.subject_keys).where(column.project == project, column.subject == subject)
        return connection.execute(statement).rowcount == 1


def _context(project: str, subject: str) -> bytes:
    return b"\0".join((b"subject-key", project.encode(), subject.encode()))
