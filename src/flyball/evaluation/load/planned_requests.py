"""What is sent and when: moments and request bodies from a rate or a trace. I/O: reads files of prompts and traces."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from flyball.errors import InputError, NotFoundError
from flyball.evaluation.load.traces import Traced

WORDS = ("river", "stone", "light", "paper", "green", "house", "seven", "cloud", "train", "glass", "north", "bread")
"""Each is a token to most tokenizers, with the space before it; all are five letters long."""
_WIDTH, _LONG, _STRIDE = 6, 65_536, 7919
BLOCK_TOKENS = 512
"""Of a block of Mooncake's traces."""
MOST_PROMPTS = 100_000


class Planned(msgspec.Struct, frozen=True):
    """One request: seconds since the start at which it leaves, its body, and the most tokens of its answer."""

    at_s: float
    body: bytes
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What every request has in common: the fields beside its messages, and the longest answer."""

    fields: Mapping[str, Any]
    max_tokens: int


def body_of(shape: Shape, messages: Sequence[Mapping[str, Any]], max_tokens: int) -> bytes:
    """A chat completion's body."""
    return msgspec.json.encode({"messages": messages, **shape.fields, "max_tokens": max_tokens})


def read_prompts(path: Path) -> list[list[Mapping[str, Any]]]:
    """Conversations to send in turn: JSON Lines with `messages`, `prompt` or `text`, else a prompt a line."""
    if not path.is_file():
        raise NotFoundError(f"no prompts at {path}", cure="name a file")
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()][:MOST_PROMPTS]
        found = [_messages(line, number) for number, line in enumerate(lines, 1)]
    except (UnicodeDecodeError, ValueError, msgspec.MsgspecError) as error:
        raise InputError(
            f"{path}: {error}", cure='give JSON Lines such as {"text": "…"} or {"messages": […]}, or a prompt a line'
        ) from error
    if not found:
        raise InputError(f"{path} holds no prompt", cure="give at least one line")
    return found


def _messages(line: str, number: int) -> list[Mapping[str, Any]]:
    if not line.lstrip().startswith("{"):
        return [{"role": "user", "content": line}]
    row = msgspec.json.decode(line)
    if isinstance(row.get("messages"), list) and row["messages"]:
        return list(row["messages"])
    text = next((row[name] for name in ("prompt", "text", "question") if isinstance(row.get(name), str)), None)
    if text is None:
        raise ValueError(f"line {number} has neither messages nor prompt nor text")
    return [{"role": "user", "content": text}]


def words(tokens: int, seed: int) -> str:
    """A text of about so many tokens, the same for the same seed; cut out of one long text, so it costs no time."""
    text, begin, count = _long_text(), seed * _STRIDE % (_LONG // 2), max(tokens, 1)
    if begin + count > _LONG:
        text *= (begin + count) // _LONG + 1
    return text[begin * _WIDTH : (begin + count) * _WIDTH - 1]


@lru_cache(maxsize=1)
def _long_text() -> str:
    return "".join(f"{word} " for word in random.Random(1).choices(WORDS, k=_LONG))


def planned(
    moments: Iterator[float],
    shape: Shape,
    *,
    prompts: Sequence[Sequence[Mapping[str, Any]]] | None = None,
    prompt_tokens: int = 64,
    seed: int = 1,
) -> Iterator[Planned]:
    """Requests at these moments: the prompts in turn, or made-up texts that begin differently, so none is cached."""
    if prompts:
        bodies = itertools.cycle([body_of(shape, messages, shape.max_tokens) for messages in prompts])
        return (Planned(at_s, body, shape.max_tokens) for at_s, body in zip(moments, bodies, strict=False))
    text = words(prompt_tokens, seed)
    mark = "\x00"
    before, after = body_of(shape, [{"role": "user", "content": f"{mark} {text}"}], shape.max_tokens).split(b"\\u0000")
    limit = shape.max_tokens
    return (Planned(at_s, b"%b%d%b" % (before, number, after), limit) for number, at_s in enumerate(moments, seed))


def replayed(trace: Sequence[Traced], shape: Shape, *, speed: float, seconds: float) -> Iterator[Planned]:
    """The requests of a trace, `speed` times as fast, as long as the run lasts.

    Prompts are made up, as long as recorded; equal blocks are equal texts, so a server's prefix cache works as it would
    have. Answers may be as long as recorded.
    """
    for number, one in enumerate(trace):
        at_s = one.at_s / speed
        if at_s >= seconds:
            return
        limit = max(min(one.answer_tokens, shape.max_tokens), 1)
        yield Planned(at_s, body_of(shape, [{"role": "user", "content": _prompt(one, number)}], limit), limit)


def _prompt(one: Traced, number: int) -> str:
    if not one.blocks:
        return f"{number} {words(one.prompt_tokens - 1, number)}"
    left, texts = one.prompt_tokens, []
    for block in one.blocks:
        texts.append(f"{block} {words(min(left, BLOCK_TOKENS) - 1, block)}")
        left -= BLOCK_TOKENS
        if left <= 0:
            break
    return " ".join(texts)
