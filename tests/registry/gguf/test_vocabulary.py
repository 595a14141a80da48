"""Tokenizers from elsewhere: split in the engine exactly as in transformers, or refused."""

from __future__ import annotations

import copy
import json
import shutil
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.errors import InputError
from flyball.registry.config import PackageConfig
from flyball.registry.gguf.vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED, read_vocabulary
from flyball.registry.packaging import package
from small_models import ODD_STRINGS, engine

WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PLAIN = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def split_by(pattern: str) -> dict[str, Any]:
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [step, PLAIN]}


KINDS = {
    "llama-bpe": (split_by(WORDS + r"\p{N}{1,3}" + REST), True),
    "qwen2": (split_by(WORDS + r"\p{N}" + REST), False),
    "smollm": (
        {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, {**PLAIN, "use_regex": True}],
        },
        False,
    ),
}


@pytest.fixture
def document(packaged) -> dict[str, Any]:
    """The tokenizer.json of a model trained here."""
    return copy.deepcopy(json.loads((packaged.training / "tokenizer.json").read_text()))


@pytest.fixture(params=KINDS)
def foreign(request, packaged, document, tmp_path) -> Any:
    """A model whose tokenizer splits text in another way: its engine's URL and its tokenizer."""
    from tokenizers import Tokenizer

    document["pre_tokenizer"], document["model"]["ignore_merges"] = KINDS[request.param]
    folder = tmp_path / "foreign"
    shutil.copytree(packaged.training, folder)
    (folder / "tokenizer.json").write_text(json.dumps(document))
    package(
        folder, config=PackageConfig(quantization="f32"), run=None, project="shop", profile=None, out=tmp_path / "out"
    )
    with engine(tmp_path / "out" / "model.gguf") as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client, Tokenizer.from_file(str(folder / "tokenizer.json"))


def assert_same_tokens(client: httpx.Client, tokenizer: Any, text: str) -> None:
    found = client.post("/tokenize", json={"content": text, "add_special": True, "parse_special": True}).json()
    assert found["tokens"] == tokenizer.encode(text, add_special_tokens=False).ids


def test_tokens_are_the_same_for_each_way_to_split(foreign):
    client, tokenizer = foreign
    for text in ODD_STRINGS:
        assert_same_tokens(client, tokenizer, text)

    @settings(max_examples=60)
    @given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
    def same(text: str) -> None:
        assert_same_tokens(client, tokenizer, text)

    same()


def test_kinds_of_tokens_merges_and_rows_beyond_the_tokenizer_are_told_apart(document):
    document["added_tokens"].append({"id": 400, "content": "<note>", "special": False})
    size = len(document["model"]["vocab"]) + 5
    document["model"]["merges"] = [" ".join(merge) for merge in document["model"]["merges"]]  # the older form
    made = read_vocabulary(document, {"eos_token": {"content": "<|end|>"}}, size=size, chat_template="")
    assert len(made.tokens) == len(made.types) == size
    assert [made.types[row] for row in (1, 400, 300, size - 1)] == [CONTROL, USER_DEFINED, NORMAL, UNUSED]
    assert made.tokens[1] == "<|end|>" and made.end == 1 and made.begin is None
    assert all(" " in merge for merge in made.merges)


@pytest.mark.parametrize(("template", "adds"), [("{{ bos_token }}x", True), ("x", False)])
def test_a_begin_token_is_added_only_where_the_template_writes_one(document, template, adds):
    begin = [{"SpecialToken": {"id": "<|pad|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    document["post_processor"] = {
        "type": "Sequence",
        "processors": [PLAIN, {"type": "TemplateProcessing", "single": begin}],
    }
    made = read_vocabulary(document, {"bos_token": "<|pad|>"}, size=512, chat_template=template)
    assert made.adds_begin is adds


@pytest.mark.parametrize(
    "change",
    [
        {"pre_tokenizer": split_by(r"\w+")},
        {"pre_tokenizer": {**PLAIN, "add_prefix_space": True, "use_regex": True}},
        {"pre_tokenizer": None},
        {"pre_tokenizer": KINDS["llama-bpe"][0]},  # without ignore_merges
    ],
)
def test_a_way_to_split_that_the_engine_lacks_is_refused(document, change):
    with pytest.raises(InputError, match="pre-tokenizer"):
        read_vocabulary({**document, **change}, {}, size=512, chat_template="")


def test_a_token_that_takes_in_spaces_is_refused(document):
    document["added_tokens"][0]["lstrip"] = True
    with pytest.raises(InputError, match="takes in the space around it"):
        read_vocabulary(document, {}, size=512, chat_template="")
