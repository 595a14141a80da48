"""Compressed answers: read piece by piece, and never more than an answer may have."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from flyball.inference.decompression import PIECE_BYTES, Decoder


def read(data: bytes, step: int) -> bytes:
    decoder = Decoder()
    return b"".join(b"".join(decoder.pieces(data[at : at + step])) for at in range(0, len(data), step))


@given(st.binary(max_size=3000), st.integers(1, 900), st.sampled_from([31, 15, -15]))
def test_what_was_compressed_is_read_however_it_is_cut(text: bytes, step: int, wbits: int) -> None:
    packer = zlib.compressobj(wbits=wbits)
    assert read(packer.compress(text) + packer.flush(), step) == text


def test_members_of_gzip_follow_each_other_and_padding_is_no_member() -> None:
    assert read(gzip.compress(b"one ") + gzip.compress(b"two") + b"\0\0\0", 7) == b"one two"


def test_pieces_are_small_however_much_a_few_bytes_hold() -> None:
    bomb = gzip.compress(b" " * 20_000_000)
    pieces = [len(piece) for piece in Decoder().pieces(bomb)]
    assert sum(pieces) == 20_000_000 and max(pieces) <= PIECE_BYTES
