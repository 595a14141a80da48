"""Characters that nobody sees: controls, zero-width and direction marks, halves of surrogate pairs. Pure.

Joiners (U+200C, U+200D) stay: Persian, Hindi and emoji are written with them.
"""

from __future__ import annotations

import re

INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufffe\uffff\ud800-\udfff]"
)
PAGE_BREAKS = re.compile("[\x0b\x0c]")


def strip_invisible(text: str) -> str:
    """Without what is not seen; a page break is a line break."""
    if text.isascii() and text.isprintable():
        return text
    return PAGE_BREAKS.sub("\n", INVISIBLE.sub("", text))
