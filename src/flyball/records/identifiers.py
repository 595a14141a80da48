"""Identifiers of people, groups and rows in one canonical form, however a file or a client writes them. Pure.

1005, "1005", " 1005 ", 1005.0 and Decimal("1005.00") name one person; NaN, null and what programs write for them name
nobody. Collection, erasure, export and requests all go through here: a person is found under every spelling.
"""

from __future__ import annotations

import datetime
import math
import re
import unicodedata
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from flyball.errors import InputError

NOBODY: Final = frozenset(
    (
        *("", "nan", "NaN", "NAN", "<NA>", "NA", "N/A", "n/a", "#N/A", "NaT", "null", "NULL", "Null", "None", "nil"),
        *("undefined", "(null)", r"\N"),
    )
)
"""What pandas, R, spreadsheets, databases and JavaScript write where there is no value."""
_ROUNDED: Final = re.compile(r"-?\d(?:[.,]\d{1,14})?[Ee]\+\d{2,3}")
_WHOLE: Final = re.compile(r"(-?(?:0|[1-9]\d*))\.0*")
_UNSEEN: Final = re.compile(r"^[\s\u200b-\u200d\u2060\ufeff]+|[\s\u200b-\u200d\u2060\ufeff]+$")
_EXTENDED: Final = ("$oid", "$numberLong", "$numberInt", "$uuid")
"""MongoDB's extended JSON."""


def canonical_text(text: str) -> str | None:
    """The identifier in a text; None where it names nobody."""
    if text.isascii() and text.isalnum() and text not in NOBODY:
        return text  # the common case costs little
    text = _UNSEEN.sub("", text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if text in NOBODY:
        return None
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole is not None else text


def is_rounded(value: object) -> bool:
    """Whether a text is a long number as spreadsheets write it, such as 1.23457E+12: many numbers become that one."""
    return isinstance(value, str) and "+" in value and _ROUNDED.fullmatch(value.strip()) is not None


def canonical_identifier(value: object) -> str | None:
    """The identifier that a value of a file stands for, None for nobody; InputError for what can be none."""
    if value is None:
        return None
    if isinstance(value, str):
        return canonical_text(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | uuid.UUID):
        return str(value)
    if isinstance(value, float):
        return canonical_text(format(Decimal(repr(value)), "f")) if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return canonical_text(_shortest(value)) if value.is_finite() else None
    if isinstance(value, bytes):
        return _of_bytes(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Mapping) and len(value) == 1 and (name := next(iter(value))) in _EXTENDED:
        return canonical_identifier(value[name])
    raise InputError(f"a {type(value).__name__} is not an identifier", cure="map a column of texts or numbers")


def _shortest(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0") if "." in text else text


def _of_bytes(value: bytes) -> str | None:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text.isprintable() and (text or not value):
        return canonical_text(text)
    return str(uuid.UUID(bytes=value)) if len(value) == 16 else value.hex()
