"""Text that was decoded wrongly on its way: UTF-8 read as another encoding, quotation marks of Windows; and NFC. Pure.

What looks broken is decided and repaired by ftfy (Robyn Speer), whose heuristic leaves „Spaß“, “CAFÉ” and heiß… alone.
It is asked only about texts where what a first byte of UTF-8 becomes stands before what one of the others becomes.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ftfy import TextFixerConfig

_CODECS = ("cp1252", "latin-1", "cp1251", "cp1250", "cp437", "mac_roman")


def _characters(codec: str, first: int, last: int) -> str:
    decoded = (bytes([byte]).decode(codec, "ignore") for byte in range(first, last + 1))
    return "".join(re.escape(character) for character in decoded if character)


_FIRST = {codec: _characters(codec, 0xC2, 0xF4) for codec in _CODECS}
_OTHERS = {codec: _characters(codec, 0x80, 0xBF) for codec in _CODECS}
_PAIRS = {codec: f"[{_FIRST[codec]}][{_OTHERS[codec]}]" for codec in _CODECS}
_PAIRS["cp1251"] *= 2  # one such pair is in many Russian words, and no word of Russian is one letter read wrongly
POSSIBLE = re.compile(f"[{''.join(_FIRST.values())}][{''.join(_OTHERS.values())}]|[\x80-\x9f]")
SUSPICIOUS = re.compile("|".join((*_PAIRS.values(), "[\x80-\x9f]")))
"""UTF-8 bytes that somebody may have read as one of those encodings, or a byte of Windows-1252 read as Latin-1. What
is POSSIBLE is a superset that takes a tenth of the time."""
C1 = {
    byte: character
    for byte in range(0x80, 0xA0)
    if (character := bytes([byte]).decode("cp1252", "ignore"))  # five bytes mean nothing there
}
_MOST_REPAIRS = 24
"""Each repair of a text at least halves what it repairs."""


def repair_encoding(text: str) -> str:
    """Mojibake undone, however often it was done, C1 controls as Windows meant them, and the Unicode form made NFC."""
    if text.isascii():
        return text
    for _ in range(_MOST_REPAIRS):
        repaired = _repaired(text)
        if repaired == text:
            break
        text = repaired
    return text


def _repaired(text: str) -> str:
    if POSSIBLE.search(text) is not None and SUSPICIOUS.search(text) is not None:
        from ftfy import fix_encoding  # 50 ms, for the few texts that need it

        text = fix_encoding(text, _settings()).translate(C1)
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def _settings() -> TextFixerConfig:
    """Only the encoding: no guess that a space was once a byte, no replacement characters for what is lost."""
    from ftfy import TextFixerConfig

    return TextFixerConfig(restore_byte_a0=False, replace_lossy_sequences=False, unescape_html=False)
