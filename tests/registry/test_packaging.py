"""A packaged model is the trained one: same tokens, same template, same answers, every file by its hash."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.errors import CorruptionError, InputError
from flyball.inference.completions import HttpCompleter
from flyball.inference.messages import neutralise
from flyball.inference.templates import CHAT_TEMPLATE, render
from flyball.records import ModelVersion, canonical_bytes, fingerprint, parse
from flyball.registry.config import PackageConfig, ReleaseConfig
from flyball.registry.packaging import package
from flyball.registry.release_composition import compose
from flyball.storage.artifacts import file_refs
from small_models import LABELS, ODD_STRINGS, engine, rows

_TOKENIZERS: dict[Path, Any] = {}
_HTTP = httpx.Client(timeout=60)


def tokenizer_of(folder: Path) -> Any:
    """transformers' tokenizer of a model folder."""
    from transformers import AutoTokenizer

    if folder not in _TOKENIZERS:
        _TOKENIZERS[folder] = AutoTokenizer.from_pretrained(folder)
    return _TOKENIZERS[folder]


def engine_tokens(url: str, prompt: str) -> list[int]:
    """How the engine splits a rendered prompt."""
    body = {"content": prompt, "add_special": True, "parse_special": True}
    return list(_HTTP.post(f"{url}/tokenize", json=body).json()["tokens"])


def assert_same_everywhere(url: str, folder: Path, messages: list[dict[str, str]]) -> None:
    tokenizer = tokenizer_of(folder)
    ours = render(CHAT_TEMPLATE, messages, add_generation_prompt=True)
    theirs = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert theirs == ours
    assert _HTTP.post(f"{url}/apply-template", json={"messages": messages}).json()["prompt"] == ours
    expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert engine_tokens(url, ours) == list(expected)


@pytest.mark.parametrize("text", ODD_STRINGS)
def test_template_and_tokens_are_the_same_here_in_transformers_and_in_the_engine(packaged, exact_url, text):
    messages = [{"role": "system", "content": "Be kind. "}, {"role": "user", "content": neutralise(text)}]
    assert_same_everywhere(exact_url, packaged.training, messages)


@settings(max_examples=150)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_tokens_are_the_same_for_any_text(packaged, exact_url, text):
    assert_same_everywhere(exact_url, packaged.training, [{"role": "user", "content": neutralise(text)}])


@pytest.mark.long
def test_tokens_are_the_same_for_two_thousand_strings(packaged, exact_url):
    tokenizer, choose = tokenizer_of(packaged.training), random.Random(7)
    alphabets = [
        "".join(map(chr, span))
        for span in (range(32), range(0x20, 0x7F), range(0x590, 0x700), range(0x4E00, 0x4F00), range(0x1F300, 0x1F700))
    ]
    for number in range(2000):
        length = 30_000 if number % 500 == 0 else choose.randint(0, 200)
        pieces = (choose.choice((*alphabets[choose.randrange(5)], *" \u200d\u202e\n")) for _ in range(length))
        text = neutralise("".join(pieces))
        assert engine_tokens(exact_url, text) == tokenizer.encode(text), repr(text[:80])


@pytest.mark.parametrize("text", ODD_STRINGS)
def test_no_text_of_a_user_becomes_a_marker_or_a_label(packaged, text):
    tokenizer = tokenizer_of(packaged.training)
    ids = tokenizer.encode(neutralise(f"{text} {' '.join(LABELS)}"), add_special_tokens=False)
    forbidden = set(tokenizer.all_special_ids) | {0, 1, 2, 3, 4}
    labels = {tokenizer.vocab[entry] for entry in tokenizer.vocab if "card" in entry and "lost" in entry}
    assert labels
    assert not set(ids) & (forbidden | labels)


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.long)])
def test_greedy_answers_of_the_f32_engine_equal_those_of_transformers(packaged, exact_url, count):
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    tokenizer, model = tokenizer_of(packaged.training), AutoModelForCausalLM.from_pretrained(packaged.training)
    completer = HttpCompleter(exact_url)
    for row in rows(count, seed=9):
        messages = [{"role": "user", "content": row.text}]
        ids = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=False
        )
        with torch.inference_mode():
            made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
        expected = tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True)
        answer = completer.complete({"messages": messages, "temperature": 0, "max_tokens": 6})
        assert answer.text == expected
        assert answer.prompt_tokens == ids.shape[1]


def test_the_release_answers_with_the_label_alone_in_one_step_and_the_end(packaged, small_url):
    release = compose(
        ReleaseConfig(),
        project="shop",
        task="classification",
        model=packaged.model,
        labels=packaged.dataset.labels,
        redaction="none",
    )
    completer = HttpCompleter(small_url, release=release)
    asked = rows(60, seed=10)
    answers = [completer.complete({"messages": [{"role": "user", "content": row.text}]}) for row in asked]
    assert sum(answer.text == row.label for answer, row in zip(answers, asked, strict=True)) >= 57
    assert {answer.completion_tokens for answer in answers} == {2}
    assert {answer.finish_reason for answer in answers} == {"stop"}


@pytest.mark.parametrize("text", ODD_STRINGS)
def test_whatever_a_user_writes_the_answer_is_one_of_the_labels(packaged, small_url, text):
    release = compose(
        ReleaseConfig(),
        project="shop",
        task="classification",
        model=packaged.model,
        labels=packaged.dataset.labels,
        redaction="none",
    )
    body = {"messages": [{"role": "user", "content": text}], "temperature": 2.0, "max_tokens": 1, "stop": ["r", "c"]}
    assert HttpCompleter(small_url, release=release).complete(body).text in LABELS


def test_the_record_names_every_file_by_its_hash_and_the_run_it_came_from(packaged):
    model = packaged.model
    assert parse(canonical_bytes(model), ModelVersion) == model
    assert model.training_run == fingerprint(packaged.run)
    assert model.dataset == packaged.run.dataset == fingerprint(packaged.dataset)
    assert model.files == file_refs(packaged.small)
    assert {"model.gguf", "model.safetensors", "tokenizer.json", "config.json", "profile.json"} <= {
        file.path for file in model.files
    }
    assert (model.formats, model.context_length) == (("gguf:q8_0", "safetensors"), 64)


def test_packaging_twice_gives_the_same_bytes(packaged, tmp_path):
    again = package(
        packaged.training,
        config=PackageConfig(),
        run=packaged.run,
        project="shop",
        profile=packaged.small / "profile.json",
        out=tmp_path / "again",
    )
    assert again == packaged.model


def repackage(folder: Path, out: Path) -> ModelVersion:
    return package(folder, config=PackageConfig(), run=None, project="shop", profile=None, out=out)


def test_broken_weights_are_refused_and_nothing_is_left(packaged, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(packaged.training, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(CorruptionError, match=r"model\.safetensors cannot be read"):
        repackage(folder, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken"]


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"architectures": ["T5ForConditionalGeneration"]}, "cannot be packaged"),
        ("config.json", {"rope_parameters": {"rope_type": "dynamic"}}, "rope scaling dynamic"),
        ("config.json", {"vocab_size": 100}, "the tokenizer has"),
        ("tokenizer.json", {"model": {"type": "Unigram"}}, "tokenizer of type Unigram"),
        ("tokenizer.json", {"normalizer": {"type": "Lowercase"}}, "normalises text"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}, "pre-tokenizer"),
    ],
)
def test_what_the_engine_would_read_differently_is_refused(packaged, tmp_path, file, change, message):
    folder = tmp_path / "odd"
    shutil.copytree(packaged.training, folder)
    document = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**document, **change}))
    with pytest.raises(InputError, match=message):
        repackage(folder, tmp_path / "out")


@pytest.mark.parametrize("kind", ["Llama", "Mistral", "Qwen2", "Qwen3"])
def test_each_architecture_answers_in_the_engine_as_in_transformers(packaged, tmp_path, kind):
    import transformers

    torch.manual_seed(3)
    tokenizer = tokenizer_of(packaged.training)
    shape = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 64}
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer) + 3,
        hidden_size=64,
        num_hidden_layers=2,
        intermediate_size=96,
        initializer_range=0.3,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        **shape,
    )
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    folder = tmp_path / "model"
    model.to(torch.bfloat16).save_pretrained(folder)
    model = model.to(torch.float32)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(packaged.training / name, folder / name)
    version = package(
        folder, config=PackageConfig(quantization="f32"), run=None, project="shop", profile=None, out=tmp_path / "out"
    )
    assert version.parameters == sum(weight.numel() for weight in model.parameters())
    with engine(tmp_path / "out" / "model.gguf", exact=True) as url:
        for text in ("hello", "my refund is late", "שלום"):
            prompt = render(CHAT_TEMPLATE, [{"role": "user", "content": text}], add_generation_prompt=True)
            ids = tokenizer.encode(prompt, add_special_tokens=False)
            body = {"prompt": prompt, "temperature": 0, "n_predict": 8, "return_tokens": True}
            for token in _HTTP.post(f"{url}/completion", json=body).json()["tokens"]:
                with torch.inference_mode():
                    expected = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
                assert expected[token] >= expected.max() - 0.03  # random weights: near ties may fall either way
                ids.append(token)
