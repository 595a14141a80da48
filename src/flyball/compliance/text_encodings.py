"""The ways in which a text can stand in a file: plain, UTF-16, base64, hexadecimal, JSON, CSV or URL escaped."""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

SHORTEST = 4
"""Bytes; a shorter needle is found in anything, so it proves nothing."""


def spellings(text: str) -> dict[bytes, str]:
    """Every byte string that would give `text` away, with the name of its encoding; the plain one first."""
    found: dict[bytes, str] = {}
    for form, encoding in _forms(text):
        if len(form) >= SHORTEST:
            found.setdefault(form, encoding)
    return found


def _forms(text: str) -> Iterator[tuple[bytes, str]]:
    plain = text.encode("utf-8")
    yield plain, "utf-8"
    yield text.encode("utf-16-le"), "utf-16-le"
    yield text.encode("utf-16-be"), "utf-16-be"
    escaped = json.dumps(text)[1:-1].encode()
    yield escaped, "json"
    yield escaped.replace(b"\\", b"\\\\"), "json in json"
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode(), "json"
    yield escaped.replace(b"/", b"\\/"), "json"
    yield text.replace('"', '""').encode(), "csv"
    yield unicodedata.normalize("NFC", text).encode(), "NFC"
    yield unicodedata.normalize("NFD", text).encode(), "NFD"
    yield quote(text, safe="").encode(), "url"
    yield plain.hex().encode(), "hex"
    for form in base64_forms(plain):
        yield form, "base64"
        yield form.translate(bytes.maketrans(b"+/", b"-_")), "base64url"


def base64_forms(plain: bytes) -> Iterator[bytes]:
    """`plain` inside base64 at each of its three alignments, without the characters that its neighbours decide."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + plain).rstrip(b"=")
        first = (offset * 8 + 5) // 6
        last = (offset + len(plain)) * 8 // 6
        yield encoded[first:last]
