"""HTML taken out of texts whose source says that it is HTML. Pure, and linear in the text, whatever stands in it."""

from __future__ import annotations

import html
import re

TAGS = (
    "a|abbr|article|aside|b|blockquote|body|br|button|center|code|div|em|font|footer|form|h[1-6]|head|header|hr|html|i"
    "|img|input|label|li|link|main|meta|nav|ol|option|p|pre|script|section|select|small|span|strike|strong|style|sub|sup"
    "|table|tbody|td|textarea|tfoot|th|thead|title|tr|tt|u|ul|wbr"
)
_VALUE = r"\"[^\"<]*+\"|'[^'<]*+'|[^\s\"'<>=`]++"
_BARE = "async|autofocus|checked|compact|controls|defer|disabled|hidden|multiple|noshade|nowrap|readonly|required"
_ATTRIBUTE = rf"\s++(?:[a-z_:@*#.][\w:.@*-]{{0,64}}+\s{{0,32}}+=\s{{0,32}}+(?:{_VALUE})|(?:{_BARE}|selected)(?![\w=-]))"
_TAG = rf"<(?:{TAGS})(?:{_ATTRIBUTE})*+\s*+/?>|</(?:{TAGS})\s*+>"
OPENING = re.compile(rf"(?P<comment><!--)|(?:(?P<block><(?:script|style))(?:{_ATTRIBUTE})*+\s*+>)|{_TAG}", re.I)
"""What markup begins with. Only known tags with attributes: <EMAIL>, <3, 1<2 and `if a<b and c>d` are no markup."""
ENDS = {
    "comment": re.compile("-->"),
    "<script": re.compile(r"</script\s*+>", re.I),
    "<style": re.compile(r"</style\s*+>", re.I),
}
ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.I)
SIGN = re.compile(rf"{_TAG}|<!--|<!doctype html|&(?:nbsp|amp|lt|gt|quot|#39|#160);", re.I)
"""What a text that is HTML has."""


def strip_markup(text: str) -> str:
    """Without HTML tags, comments, scripts and styles; entities become their characters."""
    if "<" in text:
        text = _without_tags(text)
    return ENTITY.sub(_character, text) if "&" in text else text


def looks_like_markup(text: str) -> bool:
    """Whether a text holds a tag, or an entity that only HTML needs."""
    return ("<" in text or "&" in text) and SIGN.search(text) is not None


def _without_tags(text: str) -> str:
    """Tags are blanks. A comment or script without an end is left, and its end is looked for once, not for each."""
    pieces: list[str] = []
    position = at = 0
    endless: set[str] = set()
    while (found := OPENING.search(text, at)) is not None:
        at = found.end()
        kind = "comment" if found["comment"] else (found["block"] or "").lower()
        if kind:
            end = None if kind in endless else ENDS[kind].search(text, at)
            if end is None:
                endless.add(kind)
                if kind == "comment":
                    continue
            else:
                at = end.end()
        pieces += (text[position : found.start()], " ")
        position = at
    return "".join((*pieces, text[position:])) if pieces else text


def _character(match: re.Match[str]) -> str:
    return html.unescape(match[0])
