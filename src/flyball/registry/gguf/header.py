"""Reads what a GGUF file says of itself, without its tensors. I/O: reads the beginning of the file.

Format: the GGUF specification (version 3) of the ggml project. Long arrays, such as the vocabulary, are counted and not
kept, so that the header of any model takes little time and memory.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from flyball.errors import CorruptionError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST_STRING = 16_777_216
_LONGEST_ARRAY = 1 << 30  # bytes of numbers
Header = Mapping[str, str | int | float | bool]
"""Values by key; of an array its length, under the key with `.length` behind."""


def read_header(path: Path) -> Header:
    """The file's keys and values; CorruptionError when it is no GGUF file, or cut short."""
    with path.open("rb") as file:
        try:
            return begin(file)[0]
        except (ValueError, struct.error, UnicodeDecodeError, KeyError) as error:
            raise CorruptionError(
                f"{path} is not a GGUF file: {error}", cure="run `flyball package` to make it again, or copy it again"
            ) from error


def read_arrays(path: Path, wanted: Sequence[str]) -> Mapping[str, list[str] | list[int]]:
    """The arrays of texts or whole numbers among `wanted` that the file has; CorruptionError as for the header."""
    found: dict[str, list[str] | list[int]] = {}
    with path.open("rb") as file:
        try:
            magic, _, _, entries = struct.unpack("<4sIQQ", read_exactly(file, 24))
            if magic != b"GGUF":
                raise ValueError("it does not begin as one")
            for _ in range(entries):
                key = read_text(file)
                if key in wanted:
                    _, kind, count = struct.unpack("<IIQ", read_exactly(file, 16))
                    found[key] = (
                        [read_text(file) for _ in range(count)]
                        if kind == _STRING
                        else [int(_scalar(file, kind)) for _ in range(count)]
                    )
                    if len(found) == len(wanted):
                        break
                else:
                    (kind,) = struct.unpack("<I", read_exactly(file, 4))
                    _value(file, kind)
        except (ValueError, struct.error, KeyError) as error:
            raise CorruptionError(f"{path} is not a GGUF file: {error}", cure="copy or import it again") from error
    return found


def begin(file: BinaryIO) -> tuple[Header, int]:
    """The keys and values at the beginning, and how many tensors follow; ValueError and the like for what is none."""
    magic, version, tensors, entries = struct.unpack("<4sIQQ", read_exactly(file, 24))
    if magic != b"GGUF" or version not in (2, 3):
        raise ValueError("it does not begin as one")
    return dict(_entry(file) for _ in range(entries)), tensors


def _entry(file: BinaryIO) -> tuple[str, str | int | float | bool]:
    key = read_text(file)
    (kind,) = struct.unpack("<I", read_exactly(file, 4))
    return f"{key}.length" if kind == _ARRAY else key, _value(file, kind)


def _value(file: BinaryIO, kind: int) -> str | int | float | bool:
    """A value of this kind; of an array its length."""
    if kind == _ARRAY:
        return _skip_array(file)
    return read_text(file) if kind == _STRING else _scalar(file, kind)


def _scalar(file: BinaryIO, kind: int) -> int | float | bool:
    form = f"<{_SCALARS[kind]}"
    value: int | float | bool = struct.unpack(form, read_exactly(file, struct.calcsize(form)))[0]
    return value


def _skip_array(file: BinaryIO, depth: int = 0) -> int:
    kind, count = struct.unpack("<IQ", read_exactly(file, 12))
    if kind == _STRING:
        for _ in range(count):
            read_text(file)
    elif kind == _ARRAY:
        if depth:
            raise ValueError("an array in an array in an array")
        for _ in range(count):
            _skip_array(file, depth + 1)
    else:
        read_exactly(file, int(count) * struct.calcsize(_SCALARS[kind]))
    return int(count)


def read_text(file: BinaryIO) -> str:
    """A text as GGUF writes it: its length, then UTF-8."""
    (length,) = struct.unpack("<Q", read_exactly(file, 8))
    if length > _LONGEST_STRING:
        raise ValueError(f"a text of {length} bytes")
    return read_exactly(file, length).decode("utf-8", "replace")


def read_exactly(file: BinaryIO, count: int) -> bytes:
    """So many bytes; ValueError where the file ends before."""
    if count > _LONGEST_ARRAY:
        raise ValueError(f"an array of {count} bytes")
    data = file.read(count)
    if len(data) != count:
        raise ValueError("it is cut short")
    return data
