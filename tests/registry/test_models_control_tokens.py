"""A release's control tokens are those of the model that it serves, wherever its files say so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from flyball.errors import CorruptionError
from flyball.inference.preparation.control_tokens import neutraliser
from flyball.registry.control_tokens import control_tokens
from small_models import ODD_STRINGS
from tiny_gguf import write_tiny_gguf


def test_a_gguf_file_names_its_control_tokens_and_numbers_stand_for_each_other(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "model.gguf", unused=40)
    assert control_tokens(tmp_path, "") == ("<|endoftext|>", "<|im_end|>", "<|im_start|>", "<|unused{n}|>")


def test_of_a_model_elsewhere_the_chat_template_is_all_that_is_known(tmp_path: Path) -> None:
    assert control_tokens(tmp_path, "{{ bos_token }}[INST] {{ messages[0]['content'] }} [/INST]</s>") == (
        *("</s>", "[/INST]", "[INST]"),
    )


def test_a_broken_gguf_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF\x03")
    with pytest.raises(CorruptionError, match=r"model\.gguf"):
        control_tokens(tmp_path, "")


def test_no_text_becomes_a_control_token_of_a_real_tokenizer(packaged) -> None:
    tokens = control_tokens(packaged.small, packaged.model.chat_template)
    tokenizer = Tokenizer.from_file(str(packaged.small / "tokenizer.json"))
    added = json.loads((packaged.small / "tokenizer.json").read_text())["added_tokens"]
    special = {entry["id"] for entry in added if entry["special"]}
    assert len(special) == 5
    neutralise = neutraliser(tokens)
    for text in (*ODD_STRINGS, *(f"{a['content']}{b['content'][:-1]}{a['content']}" for a in added for b in added)):
        assert not special & set(tokenizer.encode(neutralise(text), add_special_tokens=False).ids)
