"""A Hugging Face tokenizer.json as the vocabulary of a GGUF file: byte-level BPE only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flyball.errors import InputError
from flyball.inference.model_folders import token_text

NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # llama.cpp's token types

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PATTERNS = {
    _WORDS + r"\p{N}{1,3}" + _REST: "llama-bpe",
    _WORDS + r"\p{N}" + _REST: "qwen2",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": "gpt-2",
}
"""How tokenizers split text before they merge, and llama.cpp's name for it; any other pattern is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Tokens by id with their types, merges in order, and how llama.cpp must split text before it merges."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    splitter: str
    begin: int | None
    end: int | None
    padding: int | None
    adds_begin: bool


def read_vocabulary(
    tokenizer: Mapping[str, Any], config: Mapping[str, Any], *, size: int, chat_template: str
) -> Vocabulary:
    """The Vocabulary in tokenizer.json and tokenizer_config.json, filled up to the model's `size` rows.

    llama.cpp is told to add a begin token only where the chat template writes one: elsewhere it would add one that
    transformers' chat templates do not have.
    """
    model = tokenizer.get("model") or {}
    if model.get("type") != "BPE" or model.get("byte_fallback"):
        raise InputError(
            f"a tokenizer of type {model.get('type')} cannot be packaged", cure="use a byte-level BPE tokenizer"
        )
    ids: dict[int, tuple[str, int]] = {number: (token, NORMAL) for token, number in model["vocab"].items()}
    for added in tokenizer.get("added_tokens") or ():
        if added.get("single_word") or added.get("lstrip") or added.get("rstrip"):
            raise InputError(
                f"the token {added['content']} takes in the space around it, the engine does not",
                cure="use a tokenizer whose added tokens are plain",
            )
        ids[added["id"]] = (added["content"], CONTROL if added["special"] else USER_DEFINED)
    if ids and max(ids) >= size:
        raise InputError(
            f"the tokenizer has {max(ids) + 1} entries, the model {size} rows", cure="use the model's own tokenizer"
        )
    rows = [ids.get(number, (f"[UNUSED{number}]", UNUSED)) for number in range(size)]
    by_token = {token: number for number, (token, _) in ids.items()}
    begin = by_token.get(token_text(config.get("bos_token")))
    return Vocabulary(
        tokens=tuple(token for token, _ in rows),
        types=tuple(kind for _, kind in rows),
        merges=tuple(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]),
        splitter=splitter_of(tokenizer),
        begin=begin,
        end=by_token.get(token_text(config.get("eos_token"))),
        padding=by_token.get(token_text(config.get("pad_token"))),
        adds_begin="bos_token" in chat_template
        and begin is not None
        and _begins(tokenizer.get("post_processor") or {}, config.get("bos_token")),
    )


def splitter_of(tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name for the tokenizer's way to split text; InputError for one that it would split differently."""
    if tokenizer.get("normalizer") not in (None, {"type": "NFC"}):
        raise InputError("a tokenizer that normalises text cannot be packaged", cure="use a byte-level BPE tokenizer")
    steps = tokenizer.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers") or [steps]
    name = _splitter(steps)
    if not name or bool((tokenizer.get("model") or {}).get("ignore_merges")) != (name == "llama-bpe"):
        kinds = [step.get("type") for step in steps]
        raise InputError(
            f"the tokenizer's pre-tokenizer {kinds} is not known", cure="use a GPT-2, Llama 3 or Qwen 2 kind"
        )
    return name


def _splitter(steps: Sequence[Mapping[str, Any]]) -> str:
    """The name for these pre-tokenizers, "" for unknown ones."""
    kinds = [step.get("type") for step in steps]
    if any(step.get("add_prefix_space") for step in steps):
        return ""
    if kinds == ["ByteLevel"]:
        return "gpt-2" if steps[0].get("use_regex", True) else ""
    if kinds == ["Digits", "ByteLevel"]:
        return "smollm" if steps[0].get("individual_digits") else ""
    if kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        return _PATTERNS.get(str((steps[0].get("pattern") or {}).get("Regex", "")), "")
    return ""


def _begins(processor: Mapping[str, Any], begin: object) -> bool:
    """Whether the post-processor puts the begin token before every text."""
    steps = processor.get("processors") or [processor]
    first: Mapping[str, Any] = next((step["single"][0] for step in steps if step.get("single")), {})
    return bool((first.get("SpecialToken") or {}).get("id") == token_text(begin))
