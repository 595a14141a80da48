"""What looks like personal data and is not: article numbers, versions, prices, years, products. Pure.

Each check sees the text around a finding, as far as `REACH` characters, and says that it is something else.
"""

from __future__ import annotations

import re

REACH = 40
_NUMBERED = re.compile(
    r"\b(?:isbn(?:-1[03])?|issn|ean|gtin|upc|asin|sku|barcode|version|firmware|build|serial|part|model|item|article"
    r"|timestamp|epoch|unix time|section|chapter|pi|scores?|patent)\b"
    r"[^\n\w]{0,4}(?:number|no|nr|id|is|was|of)?[^\n\w]{0,4}\Z",
    re.IGNORECASE,
)
_VERSIONED = re.compile(
    r"\b(?:version|firmware|build|release|driver|section|article|chapter|clause|paragraph|updated?|upgraded?"
    r"|downgraded?|patch|revision|manual|v)\b[^\n]{0,24}\Z",
    re.IGNORECASE,
)
_TAGGED = re.compile(
    r"\b(?:colou?rs?|hex|issue|bug|pull request|pr|model|rank(?:ed)?|top|page|chapter|channel)\b[^\n]{0,24}\Z",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"\s{0,2}(?:pieces|pcs|units|items|copies|tickets|people|persons|subscribers|followers|users|times|dollars|euros"
    r"|pounds|miles|km|kg|grams|words|pages|points|votes|fans|kits|boxes|bottles|catalogue|catalog|holidays|edition)\b",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_ISBN = re.compile(r"97[89](?:[- ]?\d){10}")
_DECIMAL = re.compile(r"\d{1,3}\.\d{7,}")
_FOUR_PARTS = re.compile(r"[1-9]\d{0,4}(?:\.\d{1,6}){3}")
_PAIRS = re.compile(r"[1-9]\d?(?:[- ]\d{1,2}){3,}")
_RULE = re.compile(r"(?:min|max)\W?\d", re.IGNORECASE)


def is_no_phone(found: str, before: str, after: str) -> bool:
    """An ISBN, a version, a decimal number, scores, or what is named as another number."""
    if any(pattern.fullmatch(found) for pattern in (_ISBN, _DECIMAL, _FOUR_PARTS, _PAIRS)):
        return True
    return (len(found) == 10 and found.isdecimal() and found[0] == "1") or _NUMBERED.search(before) is not None


def is_no_ip(found: str, before: str, after: str) -> bool:
    """A version or a section: four small numbers where a text speaks of one."""
    numbers = found.split(".")
    return len(numbers) == 4 and all(int(part) < 100 for part in numbers) and _VERSIONED.search(before) is not None


def is_no_reference(found: str, before: str, after: str) -> bool:
    """A year, a number of things, a colour, an issue of a tracker."""
    if found[0] == "#":
        return _TAGGED.search(before) is not None or _COUNTED.match(after) is not None
    named = before.rstrip()[-1:] in ("#", ":") or re.search(r"(?:number|no|nr|id|code|is)\.?\s{0,32}\Z", before, re.I)
    if named or not found.isdecimal() or len(found) > 4:
        return False
    return _YEAR.fullmatch(found) is not None or _COUNTED.match(after) is not None


def is_no_secret(found: str, before: str, after: str) -> bool:
    """A rule for passwords, such as min8chars."""
    return _RULE.match(found) is not None
