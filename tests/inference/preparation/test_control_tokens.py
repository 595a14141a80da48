"""No text, whatever it says, holds a control token of the model that reads it; other text is left alone."""

from __future__ import annotations

import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.inference.preparation.control_tokens import folded, neutraliser, of_tokenizer, of_vocabulary
from pattern_attacks import SIZE, grows_too_fast

MODELS = {
    "ChatML": ["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
    "Llama 2": ["<s>", "</s>", "<unk>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"],
    "Llama 3": [
        *(
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
            "<|eom_id|>",
        ),
        *(f"<|reserved_special_token_{number}|>" for number in range(248)),
        *("<|eom_id|>", "<|python_tag|>", "<|finetune_right_pad_id|>"),
    ],
    "Mistral": [
        *(
            "<unk>",
            "<s>",
            "</s>",
            "[INST]",
            "[/INST]",
            "[TOOL_CALLS]",
            "[AVAILABLE_TOOLS]",
            "[/AVAILABLE_TOOLS]",
            "[IMG]",
        ),
        *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[PREFIX]", "[IMG]", "<pad>"),
        *(f"[control_{number}]" for number in range(8, 768)),
    ],
    "Gemma": [
        *(
            "<pad>",
            "<eos>",
            "<bos>",
            "<unk>",
            "<mask>",
            "<start_of_turn>",
            "<end_of_turn>",
            "<start_of_image>",
            "[@BOS@]",
        ),
        *(f"<unused{number}>" for number in range(99)),
    ],
    "Qwen": ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|vision_start|>", "<|box_end|>", "<|quad_start|>"],
    "SmolLM2": [
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<repo_name>",
        "<reponame>",
        "<file_sep>",
        "<issue_start>",
    ],
    "DeepSeek": ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"],
    "overlapping": ["aba", "bab", "<a><b>", "<b><a>", "ab", "[[x]]", "[x]", "<s>", "<<s>>", "x"],
    "with blanks": ["<end of turn>", "< |", "a b", "<|x y|>"],
}


@pytest.mark.parametrize("model", MODELS)
def test_no_text_holds_a_token_of_the_model(model: str) -> None:
    tokens = MODELS[model]
    neutralise = neutraliser(folded(tokens))
    halves = [piece for token in tokens[:12] for piece in (token, token[: len(token) // 2], token[len(token) // 2 :])]
    characters = sorted({character for token in tokens for character in token})

    @given(st.lists(st.sampled_from(halves) | st.sampled_from(characters) | st.text(max_size=3), max_size=12))
    def holds(pieces: list[str]) -> None:
        text = "".join(pieces)
        safe = neutralise(text)
        assert not [token for token in (*tokens, "<|") if token in safe]
        assert neutralise(safe) == safe
        if not any(token in text for token in (*tokens, "<|")):
            assert safe == text

    holds()
    for token in tokens:
        assert token not in neutralise(token) and token not in neutralise(f"{token[:-1]}{token}{token}{token[1:]}")


@pytest.mark.parametrize(
    "text", ["a < b", "list[0]", "[see below]", "</sarcasm>", "<EMAIL>", "[INST", "x|y", "< |end|>"]
)
@pytest.mark.parametrize("model", ["ChatML", "Llama 2", "Llama 3", "Mistral", "Gemma", "Qwen", "SmolLM2"])
def test_harmless_text_is_left_alone(model: str, text: str) -> None:
    assert neutraliser(folded(MODELS[model]))(text) == text


def test_a_broken_token_can_still_be_read() -> None:
    neutralise = neutraliser(["</s>", "[INST]"])
    assert neutralise("say [INST] and </s>, or <|end|>") == "say [ INST] and < /s>, or < |end|>"


def test_hundreds_of_numbered_tokens_are_one_line_of_a_release() -> None:
    tokens = folded([f"<unused{number}>" for number in range(6_000)] + ["<bos>"])
    assert tokens == ("<bos>", "<unused{n}>")
    assert neutraliser(tokens)("<unused5999> <unused> <unused12x>") == "< unused5999> <unused> <unused12x>"


def test_a_tokenizers_special_tokens_are_found_wherever_they_stand() -> None:
    tokenizer = {"added_tokens": [{"content": "<|im_end|>", "special": True}, {"content": "<think>", "special": False}]}
    config = {
        "eos_token": {"content": "</s>"},
        "pad_token": None,
        "additional_special_tokens": ["<extra>"],
        "added_tokens_decoder": {"7": {"content": "<dec>", "special": True}},
    }
    template = "{% for m in messages %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{{ messages[0]['role'] }}{% endfor %}"
    assert set(of_tokenizer(tokenizer, config, template)) == {
        *("<|im_end|>", "</s>", "<extra>", "<dec>", "[INST]", "[/INST]")
    }


def test_a_gguf_vocabularys_control_and_unknown_tokens_are_its_control_tokens() -> None:
    assert of_vocabulary(["<unk>", "<s>", "▁a", "<td>", "<0x0A>"], [2, 3, 1, 4, 6], "") == ("<s>", "<unk>")


@pytest.mark.parametrize("piece", ["<", "<|", "[", "</s>", "<unused1", "<unused", "[control_9", "<start_of_", "<s"])
def test_neutralising_takes_linear_time(piece: str) -> None:
    for model in ("Llama 3", "Mistral", "Gemma"):
        assert not grows_too_fast(neutraliser(folded(MODELS[model])), (piece * SIZE)[:SIZE])


def test_text_without_a_bracket_costs_next_to_nothing() -> None:
    neutralise = neutraliser(folded(MODELS["Mistral"]))
    text = "I am still waiting for my card, where is it? It was sent ten days ago."
    assert min(timeit.repeat(lambda: neutralise(text), number=500, repeat=20)) / 500 < 2e-6
