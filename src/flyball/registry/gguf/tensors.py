"""What tensors a GGUF file holds: how many parameters, in which form, and whether all of them are there. I/O: reads it.

Sizes of a block: ggml's `ggml_type` table. Types that are not in it are counted but their bytes are not checked.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flyball.errors import CorruptionError
from flyball.registry.gguf.header import Header, begin, read_exactly, read_text

_TYPES: Mapping[int, tuple[str, int, int]] = {
    0: ("f32", 1, 4),
    1: ("f16", 1, 2),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34),
    9: ("q8_1", 32, 36),
    10: ("q2_k", 256, 84),
    11: ("q3_k", 256, 110),
    12: ("q4_k", 256, 144),
    13: ("q5_k", 256, 176),
    14: ("q6_k", 256, 210),
    15: ("q8_k", 256, 292),
    16: ("iq2_xxs", 256, 66),
    17: ("iq2_xs", 256, 74),
    18: ("iq3_xxs", 256, 98),
    19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18),
    21: ("iq3_s", 256, 110),
    22: ("iq2_s", 256, 82),
    23: ("iq4_xs", 256, 136),
    28: ("f64", 1, 8),
    29: ("iq1_m", 256, 56),
    30: ("bf16", 1, 2),
    34: ("tq1_0", 256, 54),
    35: ("tq2_0", 256, 66),
    39: ("mxfp4", 32, 17),
}
"""Name, values of a block, bytes of a block."""
_MOST_DIMENSIONS = 4
_MOST_TENSORS = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The header of a GGUF file, how many parameters its tensors hold, and the form that most of them have."""

    header: Header
    parameters: int
    form: str


def read_layout(path: Path) -> Layout:
    """The layout of a whole file; CorruptionError when it is no GGUF file, or lacks bytes of a tensor."""
    with path.open("rb") as file:
        try:
            header, count = begin(file)
            if count > _MOST_TENSORS:
                raise ValueError(f"{count} tensors")
            tensors = list(_infos(file, count))
            start = _aligned(file.tell(), int(header.get("general.alignment", 32)))
        except (ValueError, struct.error, UnicodeDecodeError, KeyError, ZeroDivisionError, OverflowError) as error:
            raise CorruptionError(f"{path} is not a GGUF file: {error}", cure="copy or download it again") from error
    size = path.stat().st_size
    forms: Counter[str] = Counter()
    for name, values, kind, offset in tensors:
        form, block, block_bytes = _TYPES.get(kind, (f"type {kind}", 1, 0))
        forms[form] += values
        if start + offset + values // block * block_bytes > size:
            raise CorruptionError(
                f"{path} is cut short: it has {size} bytes, and {name} would end behind them",
                cure="copy or download it again",
            )
    form = max(forms, key=lambda name: forms[name], default="none")
    return Layout(header=header, parameters=sum(forms.values()), form=form)


def _infos(file: BinaryIO, count: int) -> Iterator[tuple[str, int, int, int]]:
    """(name, values, type, offset into the data) of each tensor."""
    for _ in range(count):
        name = read_text(file)
        (dimensions,) = struct.unpack("<I", read_exactly(file, 4))
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"{name} has {dimensions} dimensions")
        shape = struct.unpack(f"<{dimensions}Q", read_exactly(file, 8 * dimensions))
        kind, offset = struct.unpack("<IQ", read_exactly(file, 12))
        yield name, math.prod(shape), kind, offset


def _aligned(position: int, to: int) -> int:
    return -(-position // to) * to
