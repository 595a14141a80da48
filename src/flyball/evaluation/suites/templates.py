"""Templates: texts with places for words, filled from lists by a seed. Pure.

`{food}` stands for a word of the list `food`, the same one wherever it stands; `{food1}` and `{food2}` for two
different ones; `{a:food}` has its article. After the Editor of CheckList (Ribeiro et al. 2020, ACL).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flyball.errors import InputError, nearest

SEED: Final = "checklist-1"
_PLACE: Final = re.compile(r"\{(a:)?([A-Za-z_]+)(\d{0,3})\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A text, what it was filled with, and the template that it came from."""

    template: str
    text: str
    words: Mapping[str, str]

    def with_word(self, place: str, word: str) -> str:
        """The text with another word in one place."""
        return fill(self.template, {**self.words, place: word})


def places_of(template: str) -> dict[str, str]:
    """Place → the list that fills it, in the order of the template."""
    return {name + number: name for _, name, number in _PLACE.findall(template)}


def words_for(place: str, name: str, lists: Mapping[str, Sequence[str]], source: str) -> Sequence[str]:
    """The list of a place; InputError where there is none, or nothing is in it."""
    if name not in lists:
        close = nearest(name, list(lists))
        hint = f"did you mean {close}?" if close else f"give lexicons a list {name}, or use one of {', '.join(lists)}"
        raise InputError(f"{source}: no list fills {{{place}}}", cure=hint)
    if not lists[name]:
        raise InputError(f"{source}: the list {name} is empty", cure="give it words")
    return lists[name]


def fill(template: str, words: Mapping[str, str]) -> str:
    """The text with its words."""

    def word(match: re.Match[str]) -> str:
        found = words[match[2] + match[3]]
        article = ("an " if found[:1].casefold() in "aeiou" else "a ") if match[1] else ""
        return article + found

    return _PLACE.sub(word, template)


def filled(template: str, lists: Mapping[str, Sequence[str]], most: int, source: str) -> Iterator[Filled]:
    """At most so many texts, all different, chosen by a seed; InputError where a list lacks."""
    places = places_of(template)
    choices = {place: words_for(place, name, lists, source) for place, name in places.items()}
    total = 1
    for options in choices.values():
        total *= len(options)
    dice = random.Random(f"{SEED}:{template}")
    tries = range(total) if total <= most else dice.sample(range(total), min(total, 20 * most))
    seen: set[str] = set()
    for number in tries:
        words: dict[str, str] = {}
        for place, options in choices.items():
            number, at = divmod(number, len(options))
            words[place] = options[at]
        text = fill(template, words)
        if text in seen or alike(words, places):
            continue
        seen.add(text)
        yield Filled(template=template, text=text, words=words)
        if len(seen) == most:
            return


def alike(words: Mapping[str, str], places: Mapping[str, str]) -> bool:
    """Whether two places of one list got one word."""
    taken = [(places[place], word) for place, word in words.items()]
    return len(set(taken)) < len(taken)
