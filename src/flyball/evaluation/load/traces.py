"""Recorded traffic to replay: when requests came and how long they were. I/O: reads trace files.

Two public layouts are read as they are, plain or gzipped: Azure's LLM inference traces (CSV), Mooncake's (JSON Lines).
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from flyball.errors import InputError, NotFoundError

AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MOST_TOKENS = 4_000_000
MOONCAKE = ("timestamp", "input_length", "output_length")


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """One recorded request: seconds since the first, tokens in and out, and the blocks that its prompt consists of.

    Prompts that begin with the same blocks share a prefix, which servers may have cached; none: nothing is shared.
    """

    at_s: float
    prompt_tokens: int
    answer_tokens: int
    blocks: tuple[int, ...] = ()


class _Mooncake(msgspec.Struct):
    timestamp: float  # milliseconds
    input_length: int
    output_length: int
    hash_ids: tuple[int, ...] = ()


def read_trace(path: Path) -> list[Traced]:
    """The requests of a trace in the order of their times; InputError for a file of neither layout."""
    if not path.is_file():
        raise NotFoundError(f"no trace at {path}", cure="name a file")
    try:
        packed = path.read_bytes()
        text = (gzip.decompress(packed) if packed[:2] == b"\x1f\x8b" else packed).decode("utf-8-sig")
        found = list(_mooncake(text) if text.lstrip().startswith("{") else _azure(text))
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError, ValueError, msgspec.MsgspecError) as error:
        raise InputError(
            f"{path} is no trace: {error}",
            cure=f"give CSV of {', '.join(AZURE)}, or JSON Lines of {', '.join(MOONCAKE)}",
        ) from error
    if too_long := [one for one in found if not 0 <= one.prompt_tokens <= MOST_TOKENS]:
        raise InputError(f"{path} holds a prompt of {too_long[0].prompt_tokens} tokens", cure=f"0 to {MOST_TOKENS:,}")
    if not found:
        raise InputError(f"{path} holds no request", cure="give another trace")
    found.sort(key=lambda one: one.at_s)
    first = found[0].at_s
    return [msgspec.structs.replace(one, at_s=one.at_s - first) for one in found]


def _mooncake(text: str) -> Iterator[Traced]:
    decoder = msgspec.json.Decoder(_Mooncake)
    for line in filter(str.strip, text.splitlines()):
        one = decoder.decode(line)
        yield Traced(
            at_s=one.timestamp / 1000.0,
            prompt_tokens=one.input_length,
            answer_tokens=one.output_length,
            blocks=one.hash_ids,
        )


def _azure(text: str) -> Iterator[Traced]:
    rows = csv.DictReader(io.StringIO(text))
    if not set(AZURE) <= set(rows.fieldnames or ()):
        raise ValueError(f"its columns are {', '.join(rows.fieldnames or ()) or 'none'}")
    for row in rows:
        moment, tokens_in, tokens_out = (row[name] or "" for name in AZURE)
        yield Traced(
            at_s=datetime.fromisoformat(moment[:26]).replace(tzinfo=UTC).timestamp(),  # of seven digits six are read
            prompt_tokens=int(tokens_in),
            answer_tokens=int(tokens_out),
        )
