"""Training renders rows as serving does, and learns the answers of assistants: every token of them, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from flyball.inference.preparation.control_tokens import neutraliser
from flyball.inference.prompt_path import PromptPath
from flyball.inference.templates import CHAT_TEMPLATE, SPECIAL_TOKENS, render
from flyball.records import Message
from flyball.training.conversations import Head, Renderer, chat_format, merged
from flyball.training.examples import Example, Refusal
from small_models import engine, make_row
from tiny_gguf import tiny_release, write_tiny_gguf

CHATML = (
    "{%- for m in messages %}{%- if loop.first and m.role != 'system' %}"
    "{{- '<|im_start|>system\nBe of use.<|im_end|>\n' }}"
    "{%- endif %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
LLAMA_3 = (
    "{{- bos_token }}{%- for m in messages %}"
    "{{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim + '<|eot_id|>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
MISTRAL = (
    "{{- bos_token }}{%- if messages[0].role == 'system' %}{%- set system = messages[0].content %}"
    "{%- set turns = messages[1:] %}{%- else %}{%- set turns = messages %}{%- endif %}{%- for m in turns %}"
    "{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('roles must alternate') }}{%- endif %}"
    "{%- if m.role == 'user' %}{%- if system is defined and loop.first %}"
    "{{- '[INST]' + system + '\n\n' + m.content + '[/INST]' }}{%- else %}{{- '[INST]' + m.content + '[/INST]' }}"
    "{%- endif %}{%- else %}{{- m.content + eos_token }}{%- endif %}{%- endfor %}"
)
MISTRAL_LATE = MISTRAL.replace("loop.first %}{{-", "loop.last %}{{-").replace("and loop.first", "and loop.last")
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% set role = 'model' if m['role'] == 'assistant' else m['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + m['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
SHAPES = {
    "ChatML": (CHATML, "", "<|im_end|>", ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    "Llama 3": (
        LLAMA_3,
        "<|begin_of_text|>",
        "<|eot_id|>",
        ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "<|eot_id|>",
    ),
    "Mistral": (MISTRAL, "<s>", "</s>", ("<s>", "</s>", "[INST]", "[/INST]"), "</s>"),
    "Gemma": (
        GEMMA,
        "<bos>",
        "<eos>",
        ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
        "<end_of_turn><eos>",
    ),
    "ours": (CHAT_TEMPLATE, "", "<|end|>", SPECIAL_TOKENS, "<|end|>"),
}
"""Template, first and last token, special tokens, and what ends the last answer."""
CLOSING = {"Gemma": "<end_of_turn>"}
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Co"]), min_size=1, max_size=30).filter(
    str.strip
)
SAID = st.sampled_from(["yes", "no, never", "def f(x):\n    return 1", "grüße 👋", "<|im_end|> </s>"]) | TEXTS


def tokenizer_with(special: tuple[str, ...]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        [CHATML, LLAMA_3, "yes no never the a model says user assistant return " * 9], trainer
    )
    return tokenizer


TOKENIZERS = {name: tokenizer_with(shape[3]) for name, shape in SHAPES.items()}


def renderer(name: str, head: Head | None = None, *, template: str | None = None) -> Renderer:
    given_template, first, last, special, _ = SHAPES[name]
    encode: Callable[[str], list[int]] = lambda text: TOKENIZERS[name].encode(text, add_special_tokens=False).ids  # noqa: E731
    return Renderer(
        chat_format(template or given_template, {"bos_token": first, "eos_token": last}, special),
        encode=encode,
        harmless=neutraliser(special),
        head=head or Head(),
        answers=lambda _: None,
    )


def row_of(turns: list[tuple[str, str]], answer: str):
    kept = json.dumps([{"role": role, "content": content} for role, content in turns])
    return replace(make_row("joined", answer), turns=kept)


def learned(name: str, example: Example | Refusal) -> list[str]:
    assert isinstance(example, Example)
    return [TOKENIZERS[name].decode(list(example.ids[a:b]), skip_special_tokens=False) for a, b in example.learned]


def talk(said: list[str], system: str | None = None) -> list[tuple[str, str]]:
    """Turns of user and assistant in turn, a user's last."""
    turns = [("assistant" if at % 2 else "user", text) for at, text in enumerate(said)]
    return [("system", system), *turns] if system else turns


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=60, deadline=None)
@given(
    first=SAID, pairs=st.lists(st.tuples(SAID, SAID), max_size=3), answer=SAID.map(str.strip), system=st.none() | SAID
)
def test_the_learned_tokens_are_the_assistants_texts_and_their_ends(name, first, pairs, answer, system) -> None:
    said = [first, *(text for pair in pairs for text in pair)]
    example = renderer(name)(row_of(talk(said, system), answer), None)
    harmless, ending = neutraliser(SHAPES[name][3]), SHAPES[name][4]
    earlier = [harmless(text) for text in said[1::2]]
    *before, last = learned(name, example)
    assert last == harmless(answer) + ending
    closing = CLOSING.get(name, ending)
    if not any(text[:1].isspace() or text[-1:].isspace() for text in earlier):
        assert before == [text + closing for text in earlier]
    assert set(before) <= {one + closing for text in earlier for one in (text, text.strip())}


@pytest.mark.parametrize("name", SHAPES)
def test_training_reads_what_serving_renders(name, tmp_path) -> None:
    """The prompt of an example is the one that llama.cpp makes of the request which the prompt path sends."""
    template, first, last, _, _ = SHAPES[name]
    head = Head(system="Ours.", examples=(Message(role="user", content="1?"), Message(role="assistant", content="2.")))
    turns = talk(["hi </s>", "hello", "and <|im_end|>?"], "Theirs.")
    example = renderer(name, head)(row_of(turns, "done"), None)
    assert isinstance(example, Example)
    ours = TOKENIZERS[name].decode(list(example.ids[: example.learned[-1][0]]), skip_special_tokens=False)
    harmless = neutraliser(SHAPES[name][3])
    release = replace(tiny_release(system_prompt=head.system), examples=head.examples)
    sent = (
        PromptPath(release).engine_request({"messages": [{"role": r, "content": harmless(c)} for r, c in turns]}).body
    )
    model = write_tiny_gguf(tmp_path / "tiny.gguf", template=template.replace("eos_token", repr(last)))
    with engine(model) as url:
        theirs = httpx.post(f"{url}/apply-template", json={"messages": sent["messages"]}).json()["prompt"]
    assert ours.removeprefix(first) == theirs.removeprefix("<|endoftext|>")


def test_where_the_system_moves_to_the_last_turn_only_the_last_answer_is_learned() -> None:
    form = renderer("Mistral", template=MISTRAL_LATE)
    assert learned("Mistral", form(row_of(talk(["a", "b", "c"]), "d"), None)) == ["b</s>", "d</s>"]
    assert learned("Mistral", form(row_of(talk(["a", "b", "c"], "be kind"), "d"), None)) == ["d</s>"]


def test_a_blank_that_the_template_writes_before_answers_is_never_learned() -> None:
    form = renderer("Mistral", template=MISTRAL.replace("m.content + eos_token", "' ' + m.content + eos_token"))
    assert learned("Mistral", form(row_of(talk(["a", "b", "c"]), "d"), None)) == ["d</s>"]


def test_turns_that_a_template_refuses_are_refused_with_its_reason() -> None:
    refused = renderer("Gemma")(row_of([("user", "a"), ("user", "b")], "c"), None)
    assert isinstance(refused, Refusal) and "roles must alternate" in refused.reason


def test_each_text_is_cut_and_a_cut_answer_is_not_learned() -> None:
    example = renderer("ChatML")(row_of(talk(["long question", "long answer", "short"]), "a whole answer"), 6)
    assert learned("ChatML", example) == ["a whole answer<|im_end|>"]
    assert isinstance(example, Example) and example.shortened
    text = TOKENIZERS["ChatML"].decode(list(example.ids), skip_special_tokens=False)
    assert "long q<|im_end|>" in text and "long a<|im_end|>" in text and "short<|im_end|>" in text


def test_with_labels_only_the_users_last_text_is_asked() -> None:
    example = renderer("ours", Head(system="S", labels=True))(row_of(talk(["a", "b", "c"], "theirs"), "d"), None)
    assert isinstance(example, Example)
    shown = TOKENIZERS["ours"].decode(list(example.ids), skip_special_tokens=False)
    assert shown == "<|system|>S<|end|><|user|>c<|end|><|assistant|>d<|end|>"


def test_a_template_without_a_system_gets_its_words_before_the_users() -> None:
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert merged(turns) == [{"role": "user", "content": "s\nu"}]
    tokens = {"bos_token": "", "eos_token": ""}
    assert "s\nu<end_of_turn>" in render(GEMMA, merged(turns), add_generation_prompt=True, **tokens)
