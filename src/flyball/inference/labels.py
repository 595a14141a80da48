"""Labels: the one form in which they are kept, and when an answer is one of them. Pure.

The form of a label: Unicode NFC, without invisible characters, one space between words, none around. An answer is a
label when it equals one in that form. Else when it equals exactly one after normalisation, which leaves out case and
what stands around it: quotes, backticks, asterisks, a full stop or exclamation mark. An answer that two labels share
so (`us` and `US`) is neither.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Not the joiners U+200C and U+200D, which Persian, Hindi and emoji need."""
LOOKS = re.compile("[\u200c\u200d\ufe00-\ufe0f]")
"""Joiners and variation selectors: they change how a label looks at most, so normalisation leaves them out."""
AROUND = " \t\n\"'`*.!´\u2018\u2019\u201a\u201c\u201d\u201e\u2039\u203a«»\u3002\uff01「」『』"


def label_text(value: object) -> str | None:
    """A label of any source as text: numbers and truth values too; None for what is none (null, NaN, a list)."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, str | int | float) else None


def one_form(label: str) -> str:
    """The form in which a label is kept, learned and compared."""
    if label.isascii() and label.isprintable() and "  " not in label:
        return label.strip()
    return " ".join(unicodedata.normalize("NFC", INVISIBLE.sub("", label)).split())


def normalised(text: str) -> str:
    """What an answer and a label have in common where the exact form is not met."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFD", LOOKS.sub("", one_form(text))).casefold())
    return folded.strip(AROUND) or folded


def homonyms(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of labels that normalisation makes equal, or that are one number in two spellings (`1` and `1.0`)."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for label in labels:
        groups[_value(normalised(label))].add(label)
    return sorted(tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def _value(text: str) -> str:
    try:
        return repr(float(text)) if re.fullmatch(r"[+-]?[\d.]+(?:e[+-]?\d+)?", text, re.ASCII) else text
    except ValueError:
        return text


class KnownLabels:
    """The labels that an answer may be."""

    def __init__(self, labels: Iterable[str]) -> None:
        self._exact = {one_form(label) for label in labels}
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for label in sorted(self._exact):
            groups[normalised(label)].append(label)
        self._alike = {form: group[0] for form, group in groups.items() if len(group) == 1}

    def __bool__(self) -> bool:
        return bool(self._exact)

    def find(self, answer: str) -> str | None:
        """The label that an answer is; None where it is none, or could be two."""
        exact = one_form(answer)
        return exact if exact in self._exact else self._alike.get(normalised(exact))
