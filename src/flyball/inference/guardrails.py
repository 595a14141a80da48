"""Guardrails on requests: what is refused before an engine sees it."""

from __future__ import annotations

from collections.abc import Callable

from flyball.errors import ConfigError, InputError, nearest

Guardrail = Callable[[int], None]
"""Called with the UTF-8 bytes of all messages; raises InputError to refuse."""

BYTES_PER_TOKEN = 4  # the usual rule of thumb for English byte-level BPE; the engine still counts exactly
NAMES = ("max_prompt_tokens",)


def guardrail(name: str, *, context: int) -> Guardrail:
    """The guardrail that `name` or `name:VALUE` means; ConfigError for an unknown one.

    `max_prompt_tokens:N` refuses what is estimated at more than N tokens (default: the engine's context).
    """
    kind, _, value = name.partition(":")
    if kind not in NAMES:
        raise ConfigError(f"unknown guardrail {name!r}", cure=f"did you mean {nearest(kind, list(NAMES)) or NAMES[0]}?")
    if value and not value.isdecimal():
        raise ConfigError(f"the guardrail {name!r} needs a whole number", cure=f"write {kind}:{context}")
    limit = int(value) if value else context

    def refuse_long(size_bytes: int) -> None:
        tokens = -(-size_bytes // BYTES_PER_TOKEN)
        if tokens > limit:
            raise InputError(f"the prompt has about {tokens} tokens, {limit} are allowed", cure="send a shorter one")

    return refuse_long
