"""More edits for behaviour tests: contractions, places, emoji, homoglyphs, spelling and wording, negation.

All but negation keep the meaning by construction: each writes the same words in another form, or puts one place where
another stood. Negation turns a statement around, so a test with it expects another answer. Pure.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Final

from flyball.evaluation.suites.lexicons import cities
from flyball.evaluation.suites.perturbations import EDITS

Edit = Callable[[str, random.Random], str | None]


def _table(*lines: str) -> dict[str, str]:
    return dict(pair.split("=") for line in lines for pair in line.split(", "))


CONTRACTIONS: Final = _table(
    "is not=isn't, are not=aren't, was not=wasn't, were not=weren't, do not=don't, does not=doesn't, did not=didn't",
    "have not=haven't, has not=hasn't, had not=hadn't, could not=couldn't, would not=wouldn't, should not=shouldn't",
    "cannot=can't, will not=won't, i am=i'm, i have=i've, i will=i'll, it is=it's, you are=you're, we are=we're",
    "they are=they're, that is=that's, what is=what's",
)
SPELLINGS: Final = _table(
    "colour=color, favourite=favorite, cancelled=canceled, travelling=traveling, grey=gray, organise=organize",
    "apologise=apologize, centre=center, neighbour=neighbor, cheque=check",
)
"""British to American, whole words."""
WORDINGS: Final = _table(
    "i want to=I would like to, can you=could you, right now=at the moment, buy=purchase, get in touch=make contact",
    "as soon as possible=as quickly as possible, a lot of=plenty of, show me=let me see, how do i=how can i",
)
"""Phrases that mean the same wherever they stand, whole words."""
HOMOGLYPHS: Final = {"a": "а", "c": "с", "e": "е", "i": "і", "o": "о", "p": "р", "s": "ѕ", "x": "х", "y": "у"}
"""Latin to the Cyrillic letter that looks the same."""
EMOJI: Final = ("📌", "💬", "📝", "📎", "🔹", "📣")
"""Of no mood."""
AUXILIARIES: Final = ("is", "are", "was", "were", "will", "would", "could", "should", "has", "had")
_PLACES: Final = {city.casefold(): city for city in cities()}


def _whole(words: Mapping[str, str] | tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, sorted(words, key=len, reverse=True)))})(?![\w'’])", re.I)


def _swapped(text: str, dice: random.Random, table: Mapping[str, str], pattern: re.Pattern[str]) -> str | None:
    found = list(pattern.finditer(text))
    if not found:
        return None
    match = dice.choice(found)
    other = table[match[0].casefold()]
    other = other[:1].upper() + other[1:] if match[0][0].isupper() else other
    return text[: match.start()] + other + text[match.end() :]


_BOTH_CONTRACTIONS: Final = CONTRACTIONS | {
    short: long
    for long, short in CONTRACTIONS.items()
    if short not in ("it's", "that's", "what's")  # also "it has"
}
_BOTH_SPELLINGS: Final = SPELLINGS | {new: old for old, new in SPELLINGS.items() if new != "check"}
_CONTRACTION: Final = re.compile(_whole(_BOTH_CONTRACTIONS).pattern + r"(?= \w)", re.I)
"""Not at the end of a clause: "yes, it is" has no contraction."""
_SPELLING: Final = _whole(_BOTH_SPELLINGS)
_WORDING: Final = _whole(WORDINGS)
_PLACE: Final = _whole(_PLACES)
_AUXILIARY: Final = _whole(AUXILIARIES)
_LETTER: Final = re.compile("[aceiopsxy]")


def contractions(text: str, dice: random.Random) -> str | None:
    """One pair of words is contracted, or one contraction is written out."""
    return _swapped(text, dice, _BOTH_CONTRACTIONS, _CONTRACTION)


def spelling(text: str, dice: random.Random) -> str | None:
    """One British spelling becomes the American one, or the other way."""
    return _swapped(text, dice, _BOTH_SPELLINGS, _SPELLING)


def wording(text: str, dice: random.Random) -> str | None:
    """A paraphrase by rule: one phrase in other words of the same language and meaning."""
    return _swapped(text, dice, WORDINGS, _WORDING)


def places(text: str, dice: random.Random) -> str | None:
    """One city becomes another; a made-up one stands where a placeholder stood."""
    if "<CITY>" in text:
        return text.replace("<CITY>", dice.choice(cities()))
    found = [match for match in _PLACE.finditer(text) if match[0] == _PLACES[match[0].casefold()]]
    if not found:
        return None
    match = dice.choice(found)
    other = dice.choice([city for city in cities() if city != match[0]])
    return text[: match.start()] + other + text[match.end() :]


def emoji(text: str, dice: random.Random) -> str | None:
    """An emoji of no mood before or after the text."""
    sign = dice.choice(EMOJI)
    return f"{sign} {text}" if dice.random() < 0.5 else f"{text} {sign}"


def homoglyphs(text: str, dice: random.Random) -> str | None:
    """One Latin letter becomes the Cyrillic one that looks the same."""
    found = list(_LETTER.finditer(text))
    if not found:
        return None
    at = dice.choice(found).start()
    return text[:at] + HOMOGLYPHS[text[at]] + text[at + 1 :]


def negation(text: str, dice: random.Random) -> str | None:
    """`not` after the first auxiliary verb, or a `not` after one taken out: the statement turns around."""
    match = _AUXILIARY.search(text)
    if match is None or text.rstrip().endswith("?"):
        return None
    rest = text[match.end() :]
    if rest.startswith(" not "):
        return text[: match.end()] + rest[len(" not") :]
    return f"{text[: match.end()]} not{rest}"


KEEPING: Final[Mapping[str, Edit]] = {
    **EDITS,
    "contractions": contractions,
    "spelling": spelling,
    "wording": wording,
    "places": places,
    "emoji": emoji,
    "homoglyphs": homoglyphs,
}
"""Edits that must not change an answer, for tests of type INV."""
TURNING: Final[Mapping[str, Edit]] = {"negation": negation}
"""Edits that turn a statement around, for tests of type DIR."""
