"""Canonical bytes and fingerprints: one content, one byte string, one name.

Canonical bytes are JSON with sorted keys, no white space, UTF-8, shortest-round-trip floats, wrapped as
{"content": …, "type": …, "version": …}. A field that a type got later (its `ADDED`) is left out while it has its
default. What cannot be made canonical (NaN, infinity, bytes, sets, keys that are not strings) raises. A fingerprint is
the SHA-256 of those bytes, in hex.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from flyball.errors import CorruptionError, InputError

T = TypeVar("T")
JSON = Any
"""A JSON value: None, bool, int, float, str, list or tuple, or mapping with string keys."""


def to_plain(value: object) -> JSON:
    """`value` as plain JSON types; raises InputError for anything that has no canonical form."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:  # JSON readers keep no more than 64 bits
            raise InputError(f"{value} has no canonical form", cure="use a string for a number this large")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{value} has no canonical form", cure="leave out what was not measured, or use null")
        return value + 0.0  # there is one zero
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(f"the key {key!r} is not a string", cure="use string keys in records")
        return {key: to_plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {name: _plain_at_once(getattr(value, name)) for name in _names(type(value))}
    if isinstance(value, msgspec.Struct):
        return to_plain(msgspec.to_builtins(value))
    raise InputError(f"{type(value).__name__} has no canonical form", cure="convert it to JSON types first")


@lru_cache(maxsize=64)
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _plain_at_once(value: Any) -> JSON:
    """As `to_plain`, which most fields of a record do not need: they are texts or nothing."""
    return value if value is None or type(value) is str else to_plain(value)


_ENCODE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical_json(value: object) -> bytes:
    """The one byte string for a JSON-like value."""
    return _dumped(to_plain(value))


def _dumped(plain: JSON) -> bytes:
    try:
        return _ENCODE(plain).encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"a text has no canonical form: {error.reason}", cure="replace lone surrogates") from error


def canonical_bytes(record: object) -> bytes:
    """The one byte string for a record: its type, the version of that type, and its content.

    Content is taken as its fields' types say (in a float field 1 is 1.0); InputError for what they do not allow.
    """
    try:
        return _wrapped(msgspec.convert(to_plain(record), type(record)))
    except msgspec.ValidationError as error:
        raise InputError(
            f"not a {type(record).__name__}: {error}", cure="give each field what its type says"
        ) from error


def _wrapped(record: object) -> bytes:
    kind = type(record)
    content = to_plain(record)
    for name in getattr(kind, "ADDED", ()):
        if content[name] == kind.__dataclass_fields__[name].default:  # type: ignore[attr-defined]
            del content[name]  # records from before the field keep their bytes
    return _dumped({"type": kind.__name__, "version": kind.VERSION, "content": content})  # type: ignore[attr-defined]


def fingerprint(record: object) -> str:
    """SHA-256 of the record's canonical bytes, 64 hex digits."""
    return hashlib.sha256(canonical_bytes(record)).hexdigest()


def fingerprint_of(value: object) -> str:
    """SHA-256 of any JSON-like value's canonical bytes, 64 hex digits (settings, prompts, policies)."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def parse(body: bytes, kind: type[T]) -> T:
    """The record of type `kind` in canonical bytes; raises CorruptionError when it is not exactly that."""
    try:
        document = msgspec.json.decode(body)
        if document["type"] != kind.__name__ or document["version"] != kind.VERSION:  # type: ignore[attr-defined]
            raise CorruptionError(
                f"expected {kind.__name__}, found {document['type']} version {document['version']}",
                cure="run `flyball doctor` to check the ledger",
            )
        record = msgspec.convert(document["content"], kind)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise CorruptionError(f"not a {kind.__name__}: {error}", cure="run `flyball doctor`") from error
    if _wrapped(record) != body:
        raise CorruptionError(f"a {kind.__name__} with unknown or altered fields", cure="run `flyball doctor`")
    return record
