"""Cleaning one text: encoding, markup, control characters, white space; each step says whether it changed anything."""

from __future__ import annotations

import html
import re
import unicodedata

from flyball.data.config import CleanConfig

_CP1252 = {bytes([byte]).decode("cp1252", "replace"): byte for byte in range(0x80, 0xA0)}
_BYTE_OF = {chr(byte): byte for byte in range(0x80, 0x100)} | {c: b for c, b in _CP1252.items() if c != "\ufffd"}
_LEAD = "".join(re.escape(c) for c, byte in _BYTE_OF.items() if 0xC2 <= byte <= 0xF4)
_TAIL = "".join(re.escape(c) for c, byte in _BYTE_OF.items() if 0x80 <= byte <= 0xBF)
MOJIBAKE = re.compile(f"[{_LEAD}][{_TAIL}]{{1,3}}")
"""UTF-8 bytes that somebody read as Windows-1252: a lead byte's character and its continuation characters."""

TAGS = (
    "a|abbr|article|aside|b|blockquote|body|br|button|center|code|div|em|font|footer|form|h[1-6]|head|header|hr|html|i"
    "|img|input|label|li|link|main|meta|nav|ol|option|p|pre|script|section|select|small|span|strike|strong|style|sub|sup"
    "|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|wbr"
)
MARKUP = re.compile(
    rf"<!--.*?-->|<(?P<block>script|style)\b[^<>]*>.*?</(?P=block)\s*>|</?(?:{TAGS})(?:\s[^<>]*)?/?>", re.I | re.S
)
"""Known tags only: <EMAIL>, <3 and 1<2 are no markup."""
ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.I)
INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufffe\uffff\ud800-\udfff]"
)
SPACES = re.compile(r"[^\S\n]+")
BREAKS = re.compile(r" ?\n[ \n]*")


def clean(text: str, config: CleanConfig) -> tuple[str, tuple[str, ...]]:
    """The cleaned text and the names of the steps that changed it; cleaning a clean text changes nothing.

    The steps repeat until none changes anything (an entity may hide a tag); each change makes the text shorter or
    brings it to a form that stays.
    """
    done: set[str] = set()
    before = None
    while text != before:
        before = text
        for name, step in STEPS.items():
            if (name == "encoding" and not config.repair_encoding) or (name == "markup" and not config.strip_markup):
                continue
            changed = step(text)
            if changed != text:
                done.add(name)
                text = changed
    return text, tuple(name for name in STEPS if name in done)


def repair_encoding(text: str) -> str:
    """Mojibake undone, however often it was done, and the Unicode form made NFC."""
    if text.isascii():
        return text
    for _ in range(3):
        repaired = MOJIBAKE.sub(_decode, text)
        if repaired == text:
            break
        text = repaired
    return unicodedata.normalize("NFC", text)


def _decode(match: re.Match[str]) -> str:
    found = match[0]
    for end in range(len(found), 1, -1):
        try:
            return bytes(_BYTE_OF[character] for character in found[:end]).decode("utf-8") + found[end:]
        except UnicodeDecodeError:
            continue
    return found


def strip_markup(text: str) -> str:
    """Without HTML tags and comments; entities become their characters."""
    if "<" in text:
        text = MARKUP.sub(" ", text)
    return ENTITY.sub(lambda match: html.unescape(match[0]), text) if "&" in text else text


def strip_invisible(text: str) -> str:
    """Without control, zero-width and direction characters."""
    return INVISIBLE.sub("", text) if not (text.isascii() and text.isprintable()) else text


def collapse_spaces(text: str) -> str:
    """One space between words, one line break between lines, none around."""
    return BREAKS.sub("\n", SPACES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))).strip()


STEPS = {
    "encoding": repair_encoding,
    "markup": strip_markup,
    "characters": strip_invisible,
    "whitespace": collapse_spaces,
}
