"""A model's control tokens kept out of texts: nobody's words may open or close a turn, or teach a model where to stop.

A blank goes behind the first character of each: `</s>` becomes `< /s>`. No token holds that blank, so none comes into
being by it; and each place where one begins is looked at, so none is left where two overlap. Pure.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from flyball.inference.preparation.token_trie import pattern_of

ALWAYS: Final = "<|"
"""What most models' markers begin with, ours too; broken whatever the model."""
NUMBER: Final = "{n}"
FAMILY: Final = 16
"""From so many tokens on that differ in numbers alone, such as <unused7>, they are one, with {n} for any number."""
_GAPS: Final = (" ", "\u2009", "\u202f", "\u2060")
UNKNOWN, CONTROL = 2, 3
"""Of llama.cpp's types of token, those that it finds in a text however it is written."""
MARKERS = re.compile(
    r"\[/?[A-Z_]{2,24}\]|<</?[A-Z_]{2,24}>>|<\|[\w-]{1,48}\|>|</?s>|</?(?:start|end|bos|eos|begin|pad|unk)[a-z_]{0,24}>"
)
"""What chat templates write around turns, where it is no token of its own, as [INST] of Llama 2 and Mistral 7B."""


def neutraliser(tokens: Iterable[str]) -> Callable[[str], str]:
    """The function that breaks these tokens in a text, and `<|` always. Idempotent; other text comes back as it was."""
    wanted = {token for token in (*tokens, ALWAYS) if token.strip()}
    gap = next((gap for gap in _GAPS if not any(gap in token for token in wanted)), _GAPS[-1])
    long = sorted((token for token in wanted if len(token) > 1 and gap not in token), key=len)
    single = "".join(sorted(token for token in wanted if len(token) == 1))
    heads = tuple(sorted({token[0] for token in wanted}))
    broken = re.compile(pattern_of(long, number=NUMBER), re.DOTALL)
    alone = re.compile(f"[{re.escape(single)}]") if single else None

    def neutralise(text: str) -> str:
        for head in heads:
            if head in text:
                break
        else:
            return text
        if alone is not None:
            text = alone.sub(gap, text)
        return broken.sub(lambda match: match[0] + gap, text)

    return neutralise


def folded(tokens: Iterable[str]) -> tuple[str, ...]:
    """The tokens in order, without those that others stand for: {n} for numbers, and what is within another."""
    families: defaultdict[str, set[str]] = defaultdict(set)
    for token in tokens:
        if token.strip():
            families[re.sub(r"[0-9]+", NUMBER, token)].add(token)
    kept: set[str] = set()
    for family, members in families.items():
        kept |= {family} if len(members) >= FAMILY else members
    return tuple(sorted(kept))


def of_tokenizer(tokenizer: Mapping[str, Any], config: Mapping[str, Any], template: str) -> tuple[str, ...]:
    """The control tokens of a Hugging Face model: what tokenizer.json and tokenizer_config.json say is special."""
    found = {str(entry.get("content") or "") for entry in tokenizer.get("added_tokens") or () if entry.get("special")}
    for entry in (config.get("added_tokens_decoder") or {}).values():
        if isinstance(entry, Mapping) and entry.get("special"):
            found.add(str(entry.get("content") or ""))
    for name in ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"):
        found.add(_text(config.get(name)))
    found.update(_text(entry) for entry in config.get("additional_special_tokens") or ())
    return folded((*found, *MARKERS.findall(template)))


def of_vocabulary(tokens: Sequence[str], types: Sequence[int], template: str) -> tuple[str, ...]:
    """The control tokens of a GGUF file, by its lists `tokenizer.ggml.tokens` and `.token_type`."""
    special = [token for token, kind in zip(tokens, types, strict=False) if kind in (UNKNOWN, CONTROL)]
    return folded((*special, *MARKERS.findall(template)))


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else ""
