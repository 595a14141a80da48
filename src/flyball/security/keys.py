"""The project key: one secret from which every other is derived. I/O: `create_project_key` writes one file.

Each use has its own key (HKDF-Expand, RFC 5869), so that none can stand in for another.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.errors import EnvironmentMissing, InputError
from flyball.records.identity import keyed_hash

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PREFIX = "flyball-project-key-1:"
_BYTES = 32


@dataclass(frozen=True, slots=True)
class ProjectKey:
    """The secret of a project: names people by keyed hash, makes request ids, wraps sealing keys, signs."""

    raw: bytes = field(repr=False)

    def hash(self, purpose: str, value: str) -> str:
        """The name of a person or value inside records; the same one the dataset stage gives with `row_key`."""
        return keyed_hash(self.row_key, purpose, value)

    @property
    def mac_key(self) -> bytes:
        """For request ids (records.identity)."""
        return self._derive("request-id")

    @property
    def row_key(self) -> bytes:
        """For keyed hashes of rows, people and groups."""
        return self._derive("row")

    @property
    def seal_key(self) -> bytes:
        """For segments, and for wrapping the keys of subjects."""
        return self._derive("seal")

    @property
    def public_key(self) -> str:
        """What checks this project's signatures, in hex; safe to publish."""
        return _signer(self).public_key().public_bytes_raw().hex()

    def sign(self, data: bytes) -> str:
        """An Ed25519 signature (RFC 8032), in hex."""
        return _signer(self).sign(data).hex()

    def verify(self, data: bytes, signature: str) -> bool:
        """Whether `signature` is this project's for exactly these bytes."""
        return verify_signature(self.public_key, data, signature)

    def _derive(self, purpose: str) -> bytes:
        return hmac.digest(self.raw, b"flyball/" + purpose.encode() + b"\x01", "sha256")


def verify_signature(public_key: str, data: bytes, signature: str) -> bool:
    """Whether `signature` was made for these bytes by the holder of `public_key` (both in hex)."""
    from cryptography.exceptions import InvalidSignature  # OpenSSL loads only where something is signed
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key)).verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True


def create_project_key(path: Path) -> ProjectKey:
    """Write a fresh key with mode 0600; a key that is there already is kept and returned."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            _write_once(path, format_project_key(ProjectKey(secrets.token_bytes(_BYTES))))
        return parse_project_key(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EnvironmentMissing(
            f"cannot write the project key {path}: {error.strerror}", cure=f"make {path.parent} writable"
        ) from error


def format_project_key(key: ProjectKey) -> str:
    """The key as text, for a file or an environment variable."""
    return _PREFIX + base64.urlsafe_b64encode(key.raw).decode()


def parse_project_key(text: str) -> ProjectKey:
    """The key in a text that `create_project_key` wrote; the error never shows the text."""
    body = text.strip()
    try:
        raw = base64.b64decode(body.removeprefix(_PREFIX), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not body.startswith(_PREFIX) or len(raw) != _BYTES:
        raise InputError(
            f"this is not a project key: {_PREFIX}… with {_BYTES} bytes in base64 was expected",
            cure="copy the key file from a colleague; a new key cannot read what the old one sealed",
        )
    return ProjectKey(raw)


def _write_once(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # appears whole, and never in place of another
    except FileExistsError:
        pass  # another process was first; its key counts
    finally:
        Path(temporary).unlink()


def _signer(key: ProjectKey) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # OpenSSL, as above

    return Ed25519PrivateKey.from_private_bytes(key._derive("sign"))
