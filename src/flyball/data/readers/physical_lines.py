"""The lines of a text file as they stand there, byte by byte, however long one is. I/O: reads a file.

They are numbered as the readers number them. Nothing is decoded: what no encoding gives back (half a character, two
spellings of one letter in Shift JIS) keeps its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flyball.data.readers.layout import Layout
from flyball.data.readers.source_file import open_plain

PIECE = 1024 * 1024
"""Bytes of a line that are in memory at once; a multiple of the width of every character."""


def physical_lines(path: Path, layout: Layout) -> Iterator[tuple[int, bytes]]:
    """(1-based number, bytes) of every line, a mark at the beginning and the line's end included.

    A long line comes in pieces, each under the same number.
    """
    end = ("\r" if layout.returns_alone else "\n").encode(layout.encoding)
    with open_plain(path) as stream:
        number = 1
        if end == b"\n":
            while piece := stream.readline(PIECE):
                yield number, piece
                number += piece.endswith(end)
            return
        while block := stream.read(PIECE):
            begin = 0
            while (found := _aligned(block, end, begin)) >= 0:
                yield number, block[begin : found + len(end)]
                number, begin = number + 1, found + len(end)
            if begin < len(block):
                yield number, block[begin:]


def _aligned(block: bytes, end: bytes, begin: int) -> int:
    """Where a line's end stands as a character, not across two of them; -1 where none does."""
    found = block.find(end, begin)
    while found % len(end) and found >= 0:
        found = block.find(end, found + 1)
    return found
