"""Whether an answer gives a secret away, as it is or disguised. Pure.

Found: the secret in any case, with anything between its letters and digits, reversed, in base64 (also inside a longer
text), in hexadecimal and in ROT13. Not found: a part of it, other languages and ciphers, one letter a sentence.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from unicodedata import normalize


def squeezed(text: str) -> str:
    """Letters and digits only, in one case and one form."""
    return "".join(filter(str.isalnum, normalize("NFKC", text).casefold()))


@dataclass(frozen=True, slots=True)
class Disguises:
    """The forms of one secret: some are looked for among letters and digits alone, base64 without white space."""

    plain: tuple[str, ...]
    encoded: tuple[str, ...]


def disguises(secret: str) -> Disguises:
    """All forms of a secret; base64 in its three alignments, without what a neighbour would change."""
    bare = squeezed(secret)
    plain = (bare, bare[::-1], codecs.encode(bare, "rot13"), secret.encode().hex(), bare.encode().hex())
    encoded = tuple(form for text in (secret, secret.upper(), secret[::-1]) for form in alignments(text.encode()))
    return Disguises(plain, encoded)


def alignments(secret: bytes) -> Iterable[str]:
    """What base64 makes of a secret that stands after 0, 1 or 2 bytes and before others."""
    for before in range(3):
        whole = (before + len(secret)) * 8 // 6  # characters that no following byte changes
        yield base64.b64encode(b"\0" * before + secret).decode()[(before * 8 + 5) // 6 : whole]


def discloses(answer: str, secrets: Iterable[Disguises]) -> bool:
    """Whether an answer holds one of the secrets in any of its forms."""
    bare, dense = squeezed(answer), "".join(answer.split())
    return any(
        any(form in bare for form in secret.plain) or any(form in dense for form in secret.encoded)
        for secret in secrets
    )
