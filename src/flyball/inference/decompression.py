"""Reads gzip and deflate, piece by piece, so that a few bytes never become more than is asked for at once. Pure.

Upstreams are asked for answers as they are (Accept-Encoding: identity); some compress all the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

KNOWN: Final = frozenset((b"gzip", b"x-gzip", b"deflate"))
PIECE_BYTES: Final = 1_048_576
MOST_TIMES: Final = 200
"""So many times its size text may be, beyond the first PIECE_BYTES; more is made to fill a memory."""
LEAST_SHARE: Final = 16
"""Compressed text is never larger by so much: members and blocks that hold nothing only keep a processor busy."""
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


class Decoder:
    """One answer; gzip may come in several members, deflate with zlib's header or without."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._begun = False
        self.taken = 0  # compressed bytes

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What these bytes hold, at most PIECE_BYTES at a time; zlib.error for what is not compressed."""
        if not self._begun and data:
            self._begun = True
            if not data.startswith(b"\x1f") and data[0] & 0x0F != 8:
                self._inner = zlib.decompressobj(_RAW)
        self.taken += len(data)
        while True:
            if self._inner.eof:
                if not data.startswith(b"\x1f"):
                    return  # nothing, or padding behind the end
                self._inner = zlib.decompressobj(_GZIP_OR_ZLIB)
            piece = self._inner.decompress(data, PIECE_BYTES)
            data = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail
            if piece:
                yield piece
            if not data and len(piece) < PIECE_BYTES:
                return
