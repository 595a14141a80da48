"""Trains the tokenizer of a model from scratch: byte-level BPE, roles as special tokens, each label one token.

A label's token stands in the vocabulary but no merge leads to it, so no user's text ever becomes one: only the model
writes it. Answering a classification then costs one decoding step.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from flyball.errors import InputError
from flyball.inference.templates import CHAT_TEMPLATE, END, PADDING, SPECIAL_TOKENS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ALPHABET = 256


def byte_characters() -> list[str]:
    """The printable character that byte-level BPE writes for each byte (Radford et al. 2019, GPT-2's encoder)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = iter(range(ALPHABET, 2 * ALPHABET))
    return [chr(byte if byte in shown else next(hidden)) for byte in range(ALPHABET)]


def token_of(text: str) -> str:
    """`text` as one entry of a byte-level vocabulary."""
    table = byte_characters()
    return "".join(table[byte] for byte in text.encode())


def train_tokenizer(texts: Iterable[str], *, vocabulary: int, labels: Sequence[str] = ()) -> Tokenizer:
    """A byte-level BPE tokenizer of at most `vocabulary` entries; same texts, same tokenizer."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    merged = vocabulary - len(labels)
    if merged < ALPHABET + len(SPECIAL_TOKENS):
        raise InputError(
            f"a vocabulary of {vocabulary} has no room for {len(labels)} labels, {ALPHABET} bytes and the markers",
            cure=f"set train.size.vocabulary to at least {len(labels) + 2 * ALPHABET}",
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS]
    trainer = trainers.BpeTrainer(
        vocab_size=merged,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return with_labels(tokenizer, labels)


def with_labels(tokenizer: Tokenizer, labels: Sequence[str]) -> Tokenizer:
    """The tokenizer with one entry for each label that has none yet."""
    document = json.loads(tokenizer.to_str())
    entries = document["model"]["vocab"]
    for label in labels:
        entries.setdefault(token_of(label), len(entries))
    return type(tokenizer).from_str(json.dumps(document, ensure_ascii=False))


def tokenizer_config(*, context: int) -> dict[str, Any]:
    """What transformers needs beside tokenizer.json to load this tokenizer and its chat template."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": PADDING,
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "chat_template": CHAT_TEMPLATE,
    }
