"""Names of things: UUIDv7 with room for a MAC, content hashes, short forms for people.

A request id is a UUIDv7 (RFC 9562) whose last 40 bits are an HMAC over the rest, the project and the key that made
the request, so that any worker can tell a genuine id, and whose it is, without a lookup.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import random
import time
import uuid
from functools import lru_cache
from typing import Final

MAC_BITS: Final = 40
_MAC_BYTES: Final = MAC_BITS // 8
_RANDOM_BITS: Final = 74 - MAC_BITS


def uuid7(*, now_ms: int | None = None, random: int | None = None) -> str:
    """A UUIDv7: 48 bits of Unix milliseconds, then random bits (74 of them unless given)."""
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    bits = int.from_bytes(os.urandom(10), "big") if random is None else random
    return _written(_head(milliseconds, bits))


def milliseconds_of(identifier: str) -> int:
    """Unix milliseconds inside a UUIDv7."""
    return uuid.UUID(identifier).int >> 80


def _head(milliseconds: int, bits: int) -> bytes:
    first = (milliseconds & (1 << 48) - 1) << 16 | 0x7000 | bits >> 62 & 0xFFF  # version 7 of RFC 9562
    last = 0b10 << 62 | bits & (1 << 62) - 1  # and its variant
    return first.to_bytes(8, "big") + last.to_bytes(8, "big")


def _written(value: bytes) -> str:
    """128 bits as RFC 9562 writes them; uuid.UUID takes ten times as long."""
    digits = value.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


@lru_cache(maxsize=64)
def _hmac(key: bytes) -> hmac.HMAC:
    """HMAC-SHA256 that has taken in the key, to be copied: hmac.digest() would pad and hash the key each time."""
    return hmac.new(key, digestmod="sha256")


def _signed(key: bytes, head: bytes, owner: str) -> bytes:
    """The bits before the MAC, and the first bits of an HMAC-SHA256."""
    mac = _hmac(key).copy()
    mac.update(head + bytes(_MAC_BYTES) + owner.encode())
    return head + mac.digest()[:_MAC_BYTES]


def request_id(key: bytes, owner: str, *, now_ms: int | None = None) -> str:
    """A fresh request id that only a holder of `key` can make, bound to `owner` (an API key's id)."""
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    head = _head(milliseconds, random.getrandbits(_RANDOM_BITS) << MAC_BITS)  # unique is enough: the MAC is the secret
    return _written(_signed(key, head[:-_MAC_BYTES], owner))


def is_genuine(key: bytes, owner: str, identifier: str) -> bool:
    """Whether `identifier` was made by `request_id(key, owner)`; constant time, no lookup."""
    try:
        value = uuid.UUID(identifier)
    except ValueError:
        return False
    if value.version != 7 or str(value) != identifier:
        return False
    return hmac.compare_digest(_signed(key, value.bytes[:-_MAC_BYTES], owner), value.bytes)


def derived_id(key: bytes, parent: str, content: bytes) -> str:
    """A UUIDv7 that is the same for the same parent and content: its time is the parent's, its bits an HMAC."""
    digest = hmac.digest(key, parent.encode() + b"\0" + content, "sha256")
    return uuid7(now_ms=milliseconds_of(parent), random=int.from_bytes(digest[:10], "big"))


def keyed_hash(key: bytes, purpose: str, value: str) -> str:
    """HMAC-SHA256 in hex: the name of a person or value inside records, useless without the project key."""
    return hmac.digest(key, purpose.encode() + b"\0" + value.encode(), "sha256").hex()


def content_hash(data: bytes) -> str:
    """SHA-256 in hex of plain bytes."""
    return hashlib.sha256(data).hexdigest()


def short(name: str) -> str:
    """The first 12 characters of a fingerprint, as people see it; a UUID stays whole."""
    return name if "-" in name else name[:12]
