"""Edits that must not change an answer, chosen by a seed: typos, casing, punctuation, greetings, names, numbers.

After CheckList's invariance tests (Ribeiro et al. 2020, ACL). Placeholders such as <NAME> stand for personal data; an
edit puts a made-up value in their place, as a real user would have written it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

PLACEHOLDER = re.compile(r"<([A-Z][A-Z_]*)>")
_WORD = re.compile(r"(?<![<\w])[A-Za-z]{5,}(?![\w>])")
_NUMBER = re.compile(r"\d{2,}")
GREETINGS = ("Hello, ", "Hi there, ", "Good morning, ", "Hey! ", "Dear team, ")
NAMES = ("Amara Okafor", "Lena Fischer", "Wei Zhang", "Carlos Medina", "Priya Nair", "Tom Baker", "Yuki Sato")


def typo(text: str, dice: random.Random) -> str | None:
    """Two neighbouring letters inside one longer word are swapped."""
    words = [match for match in _WORD.finditer(text) if _swappable(match[0])]
    if not words:
        return None
    word = dice.choice(words)
    at = word.start() + dice.choice(_swappable(word[0]))
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def _swappable(word: str) -> list[int]:
    return [at for at in range(1, len(word) - 2) if word[at] != word[at + 1]]


def casing(text: str, dice: random.Random) -> str | None:
    """Everything in lower case, or the first letter of the text in the other case; placeholders stay."""
    parts = re.split(r"(<[A-Z][A-Z_]*>)", text)
    lower = "".join(part if PLACEHOLDER.fullmatch(part) else part.lower() for part in parts)
    if lower != text:
        return lower
    return text[:1].upper() + text[1:]


def punctuation(text: str, dice: random.Random) -> str | None:
    """Closing punctuation is taken away, or added where there is none."""
    bare = text.rstrip(" .!?")
    return bare if bare != text else text + dice.choice((".", "!", " ?", "..."))


def greeting(text: str, dice: random.Random) -> str | None:
    """A greeting in front."""
    return dice.choice(GREETINGS) + text


def names(text: str, dice: random.Random) -> str | None:
    """A made-up name where a name stood."""
    return text.replace("<NAME>", dice.choice(NAMES)) if "<NAME>" in text else None


def numbers(text: str, dice: random.Random) -> str | None:
    """Other digits of the same length (order numbers, amounts); an order number where one stood."""

    def other(match: re.Match[str]) -> str:
        return "".join(dice.choice("123456789") for _ in match[0])

    if "<ORDER>" in text:
        return text.replace("<ORDER>", f"ORD-{dice.randint(100_000, 999_999)}")
    return _NUMBER.sub(other, text) if _NUMBER.search(text) else None


EDITS: dict[str, Callable[[str, random.Random], str | None]] = {
    "typo": typo,
    "casing": casing,
    "punctuation": punctuation,
    "greeting": greeting,
    "names": names,
    "numbers": numbers,
}


def perturb(text: str, seed: str) -> tuple[str, str] | None:
    """(kind of edit, edited text): one edit that applies, chosen by the seed; None when none changes the text."""
    dice = random.Random(seed)
    kinds = list(EDITS)
    dice.shuffle(kinds)
    for kind in kinds:
        edited = EDITS[kind](text, dice)
        if edited is not None and edited != text and edited.strip():
            return kind, edited
    return None
