"""One tensor of bytes as a safetensors file, read and written by hand. Pure.

The layout: the header's length (8 bytes, little-endian), the header as JSON, then the numbers. Nothing is executed.
"""

from __future__ import annotations

import json
from array import array
from typing import Final

from flyball.errors import CorruptionError

TENSOR: Final = "weights"
MOST_HEADER_BYTES: Final = 4096
CURE: Final = "train the classifier again, or copy its folder again"


def packed(weights: array[int]) -> bytes:
    """A file with one int8 tensor."""
    entry = {TENSOR: {"dtype": "I8", "shape": [len(weights)], "data_offsets": [0, len(weights)]}}
    header = json.dumps(entry, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + weights.tobytes()


def unpacked(data: bytes, size: int, *, where: str) -> array[int]:
    """The int8 tensor of a file, which must have `size` numbers; CorruptionError says what is wrong `where`."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MOST_HEADER_BYTES, len(data) - 8):
        raise CorruptionError(f"{where} is no safetensors file of a classifier", cure=CURE)
    try:
        header = json.loads(data[8 : 8 + length])
        tensor = header[TENSOR]
        found = (tensor["dtype"], tensor["shape"], tensor["data_offsets"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptionError(f"{where} has no tensor {TENSOR!r} in its header", cure=CURE) from error
    if found != ("I8", [size], [0, size]) or len(data) != 8 + length + size:
        raise CorruptionError(f"{where} does not hold {size:,} int8 weights", cure=CURE)
    return array("b", data[8 + length :])
