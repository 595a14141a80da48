"""Words that name whom a text is about, and the same words for somebody else. Pure.

`TERMS`: the identities of Dixon et al. 2018 (AIES), "Measuring and Mitigating Unintended Bias in Text Classification".
`swapped` turns a text into one about somebody else of the same dimension, word by word, as counterfactual fairness asks
(Kusner et al. 2017, NeurIPS; Garg et al. 2019, AIES, for text). English only. Words with a second sense that is more
common (black, white, old, straight, blind) are swapped before a word for a person only, or not at all.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from typing import Final

TERMS: Final = (
    *("lesbian", "gay", "bisexual", "transgender", "trans", "queer", "lgbt", "lgbtq", "homosexual", "straight"),
    *("heterosexual", "male", "female", "nonbinary", "african", "african american", "black", "white", "european"),
    *("hispanic", "latino", "latina", "latinx", "mexican", "canadian", "american", "asian", "indian"),
    *("middle eastern", "chinese", "japanese", "christian", "muslim", "jewish", "buddhist", "catholic", "protestant"),
    *("sikh", "taoist", "old", "older", "young", "younger", "teenage", "millenial", "middle aged", "elderly"),
    *("blind", "deaf", "paralyzed"),
)
_TERM: Final = re.compile(rf"\b(?:{'|'.join(sorted(TERMS, key=len, reverse=True))})\b", re.IGNORECASE)

PAIRS: Final = (
    *("he she", "himself herself", "man woman", "men women", "boy girl", "boys girls", "male female", "males females"),
    *("father mother", "fathers mothers", "dad mum", "dads mums", "son daughter", "sons daughters", "brother sister"),
    *("brothers sisters", "husband wife", "husbands wives", "uncle aunt", "nephew niece", "grandfather grandmother"),
    *("grandson granddaughter", "boyfriend girlfriend", "gentleman lady", "gentlemen ladies", "mr mrs", "sir madam"),
    *("king queen", "prince princess", "waiter waitress", "actor actress", "businessman businesswoman"),
    *("groom bride", "guy gal", "guys gals", "widower widow", "stepfather stepmother", "stepson stepdaughter"),
)
CIRCLES: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "religion": (
        ("christian", "muslim", "jewish", "hindu", "buddhist"),
        ("christians", "muslims", "jews", "hindus", "buddhists"),
        ("church", "mosque", "synagogue", "temple", "monastery"),
    ),
    "nationality": (
        ("american", "mexican", "nigerian", "chinese", "german", "turkish", "polish", "brazilian"),
        ("america", "mexico", "nigeria", "china", "germany", "turkey", "poland", "brazil"),
    ),
    "orientation": (("gay", "heterosexual"), ("lesbian", "heterosexual"), ("homosexual", "heterosexual")),
    "ethnicity": (("black", "white", "asian", "hispanic"),),
    "age": (("young", "elderly"), ("younger", "older")),
    "disability": (("blind", "sighted"), ("deaf", "hearing"), ("disabled", "able-bodied")),
}
"""Words of one sense; a swap turns all of a text by the same number of places."""
OF_PERSONS: Final = ("ethnicity", "age", "disability")
"""Dimensions whose words also mean something else: they count before a word for a person alone."""
_PERSON: Final = (
    r"(?=\s+(?:man|men|woman|women|person|people|boys?|girls?|guys?|ladies|lady|customers?|patients?|users?|"
    r"neighbou?rs?|friends?|famil(?:y|ies)|couples?|employees?|colleagues?|students?|teachers?|workers?|applicants?)\b)"
)
_WORDS: Final = {
    "gender": re.compile(
        rf"\b(?:{'|'.join((*(word for pair in PAIRS for word in pair.split()), 'him', 'his', 'her', 'hers'))})\b", re.I
    ),
    **{
        dimension: re.compile(
            rf"\b(?:{'|'.join(word for circle in circles for word in circle)})\b"
            + (_PERSON if dimension in OF_PERSONS else ""),
            re.I,
        )
        for dimension, circles in CIRCLES.items()
    },
}
_GENDERED: Final = {
    **{one: other for pair in PAIRS for one, other in (pair.split(), pair.split()[::-1])},
    "him": "her",
    "his": "her",
    "hers": "his",
}
_NO_NOUN: Final = re.compile(
    r"\s*(?:$|[^\w\s]|(?:and|or|but|to|for|at|in|on|with|about|that|if|when|because|again|back|the|a|an|is|was|as|today|"
    r"yesterday|tomorrow|now|not)\b)",
    re.I,
)


def identity_in(text: str) -> str | None:
    """The first of `TERMS` in a text."""
    found = _TERM.search(text)
    return found[0].casefold() if found else None


def swapped(text: str, seed: str) -> tuple[str, str] | None:
    """(dimension, the text about somebody else): one dimension that it names, by the seed; None where it names none."""
    named = [dimension for dimension, words in _WORDS.items() if words.search(text)]
    if not named:
        return None
    dice = random.Random(seed)
    dimension = dice.choice(named)
    if dimension == "gender":
        return dimension, _WORDS[dimension].sub(lambda match: like(_other_gender(match), match[0]), text)
    turns = dice.random()
    return dimension, _WORDS[dimension].sub(lambda match: like(_turned(match[0], dimension, turns), match[0]), text)


def _other_gender(match: re.Match[str]) -> str:
    """A word for the other gender; `her` is `his` before a noun, else `him`."""
    word = match[0].casefold()
    if word == "her":
        return "him" if _NO_NOUN.match(match.string, match.end()) else "his"
    return _GENDERED[word]


def _turned(word: str, dimension: str, turns: float) -> str:
    """The word as far on in its circle as `turns` says: never itself."""
    circle = next(circle for circle in CIRCLES[dimension] if word.casefold() in circle)
    at = circle.index(word.casefold())
    return circle[(at + 1 + int(turns * (len(circle) - 1))) % len(circle)]


def like(word: str, model: str) -> str:
    """The word in capitals, or with one first, as the model is."""
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word.capitalize() if model[:1].isupper() else word
