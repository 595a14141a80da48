"""Invented words and secrets, from a seed: the same ones on every machine. Pure."""

from __future__ import annotations

import hashlib
import random
from typing import Final

CONSONANTS: Final = "bdfgklmnprstvz"
VOWELS: Final = "aeiou"


def generator(*seed: object) -> random.Random:
    """A generator of its own for what is named by `seed`."""
    return random.Random(hashlib.sha256(repr(seed).encode()).digest())


def word(generator: random.Random, syllables: int = 3) -> str:
    """A word that can be said and that no dictionary has, such as `tavoku`."""
    return "".join(generator.choice(CONSONANTS) + generator.choice(VOWELS) for _ in range(syllables))


def secret(generator: random.Random) -> str:
    """A secret such as `tavoku-4821-remiza`: about 48 bits, so nobody writes it by chance."""
    return f"{word(generator)}-{generator.randrange(1000, 10000)}-{word(generator)}"
