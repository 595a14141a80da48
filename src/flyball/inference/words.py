"""The words of a text in any script, for duplicates, leakage and drift. Pure.

Scripts that write no blanks between words have n-grams of characters instead: a Han character by itself, two characters
of kana, Thai, Lao, Khmer and Myanmar. Vowel signs and other marks belong to the letter before them, so that Hindi and
Arabic words stay whole.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_MARKS = (
    "\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u0900-\u0963\u0966-\u0dff\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd"
    "\u0f18-\u0f39\u0f71-\u0f84\u102b-\u103e\u1056-\u109d\u17b4-\u17d3\u200c\u200d\u3099\u309a"
)
"""Combining marks of living scripts, and the joiners within words; `\\w` holds letters and digits alone."""
_LETTER = rf"[\w{_MARKS}]"
WORDS = re.compile(rf"<\w{{1,64}}>|{_LETTER}++(?:['’]{_LETTER}++)*+")
_SIGNS = (
    "#$%+=\u00a2-\u00a5\u00b0\u00b1\u00d7\u00f7\u20a0-\u20cf\u2190-\u23ff\u25a0-\u27bf\u2b00-\u2bff"
    "\U0001f000-\U0001faff"
)
"""Emoji, arrows, signs of money and arithmetic, and those that tell C++ from C#: what no word beside them says."""
WORDS_AND_SIGNS = re.compile(rf"{WORDS.pattern}|[{_SIGNS}]")
_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_OTHER = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
UNSPACED = re.compile(f"[{_HAN}{_OTHER}]")
PARTS = re.compile(f"(?P<han>[{_HAN}])|(?P<other>[{_OTHER}{_MARKS}]++)|[^{_HAN}{_OTHER}]++")


def words_of(text: str) -> list[str]:
    """Case-folded words in one Unicode form; placeholders are words too; n-grams where a script has no blanks."""
    found = written_words(text)
    if text.isascii() or UNSPACED.search(text) is None:
        return found
    return [part for word in found for part in _parts(word)]


def written_words(text: str) -> list[str]:
    """Case-folded words as blanks and punctuation part them, whatever the script."""
    return WORDS.findall(_folded(text))


def words_and_signs(text: str) -> list[str]:
    """The written words, and the signs between them that mean something of their own."""
    return WORDS_AND_SIGNS.findall(_folded(text))


def units_of(text: str) -> list[str]:
    """What n-grams of a text are made of: words, signs, and the single characters of scripts without blanks."""
    found = words_and_signs(text)
    if text.isascii() or UNSPACED.search(text) is None:
        return found
    return [unit for word in found for unit in _units(word)]


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


def _parts(word: str) -> Iterator[str]:
    for match in PARTS.finditer(word):
        part = match[0]
        if match["other"] is None or len(part) < 2:
            yield part
        else:
            yield from (part[at : at + 2] for at in range(len(part) - 1))


def _units(word: str) -> Iterator[str]:
    for match in PARTS.finditer(word):
        yield from match[0] if match["other"] is not None else (match[0],)
