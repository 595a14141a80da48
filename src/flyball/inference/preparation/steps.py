"""The steps of a preparation, in one order, until none changes anything; it tells which changed a text. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flyball.errors import ConfigError
from flyball.inference.preparation.characters import strip_invisible
from flyball.inference.preparation.encoding import repair_encoding
from flyball.inference.preparation.markup import strip_markup
from flyball.inference.preparation.whitespace import collapse_spaces
from flyball.records import Preparation

PREPARATION: Final = 1
"""Version of the steps' code; a Release says with which one its texts are prepared."""

Step = Callable[[str], str]
STEPS: dict[str, Step] = {
    "encoding": repair_encoding,
    "markup": strip_markup,
    "characters": strip_invisible,
    "whitespace": collapse_spaces,
}
CUT: Final = "cut"
_PLAIN: Final = bytes(byte for byte in range(ord(" "), 0x7F) if byte not in b"<&")
ROUNDS: Final = 6
"""An entity may hide a tag, and a hidden character a broken one: few texts of people need more than two rounds."""
_SETTLING: Final = 40
"""Each round of what is left by then halves what it changes, or changes nothing."""


class TextPreparer:
    """The steps of one Preparation, ready to run on many texts."""

    __slots__ = ("_collapses", "_most", "_steps")

    def __init__(self, preparation: Preparation) -> None:
        unknown = [name for name in preparation.steps if name not in STEPS]
        if unknown or preparation.version > PREPARATION:
            raise ConfigError(
                f"this Flyball does not know the preparation {', '.join(unknown) or preparation.version} of a release",
                cure="upgrade Flyball to the version that made the release, or later",
            )
        self._steps = [(name, STEPS[name]) for name in STEPS if name in preparation.steps]
        self._collapses = "whitespace" in preparation.steps
        self._most = preparation.max_characters

    def __call__(self, text: str) -> tuple[str, tuple[str, ...]]:
        """The prepared text, and the names of the steps that changed it; preparing it again changes nothing."""
        if (
            text.isascii()
            and not text.encode().translate(None, _PLAIN)
            and not (self._collapses and ("  " in text or text[:1] == " " or text[-1:] == " "))
            and (self._most is None or len(text) <= self._most)
        ):
            return text, ()  # nothing that any step changes is in it
        done: set[str] = set()
        text = self._settled(text, done)
        while (shorter := cut(text, self._most)) != text:  # a second time only where the cut made a step work
            done.add(CUT)
            text = self._settled(shorter, done)
        return text, tuple(name for name in (*STEPS, CUT) if name in done)

    def _settled(self, text: str, done: set[str]) -> str:
        """`text` after as many rounds as change it. What is nested deeper than people nest it loses its markers."""
        for round_ in range(ROUNDS + _SETTLING):
            before = text
            if round_ == ROUNDS and any(name == "markup" for name, _ in self._steps):
                text = text.replace("<", " ").replace("&", " ")
                done.add("markup")
            for name, step in self._steps:
                changed = step(text)
                if changed != text:
                    done.add(name)
                    text = changed
            if text == before:
                break
        return text


def cut(text: str, most: int | None) -> str:
    """The beginning of a text that is longer than so many characters."""
    return text if most is None or len(text) <= most else text[:most].rstrip()


def prepare(text: str, preparation: Preparation) -> tuple[str, tuple[str, ...]]:
    """`text` prepared, and which steps changed it; who prepares many texts keeps a TextPreparer instead."""
    return TextPreparer(preparation)(text)
