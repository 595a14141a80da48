"""A random Llama model of 28,000 parameters as a GGUF file, and adapters on it: loaded in milliseconds."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from flyball.records import Constraint, EngineSettings, Release

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def write_tiny_gguf(
    path: Path,
    *,
    hidden: int = 32,
    layers: int = 1,
    context: int = 256,
    seed: int = 0,
    quantized: bool = False,
    printable: bool = False,
    unused: int = 0,
    template: str = TEMPLATE,
) -> Path:
    """Write the model; another seed is another model.

    `quantized`: matrices as q8_0 (`hidden` a multiple of 32); `printable`: it says single printable letters only, so
    that each token is text of its own; `unused`: so many further tokens, to have a large vocabulary.
    """
    letters = _byte_letters()
    tokens = [*letters, letters[104] + letters[105], *_SPECIAL, *(f"<|unused{n}|>" for n in range(unused))]
    writer = gguf.GGUFWriter(str(path), "llama")
    for add, value in (
        (writer.add_context_length, context),
        (writer.add_embedding_length, hidden),
        (writer.add_block_count, layers),
        (writer.add_feed_forward_length, 2 * hidden),
        (writer.add_head_count, 2),
        (writer.add_head_count_kv, 2),
        (writer.add_rope_dimension_count, hidden // 2),
        (writer.add_vocab_size, len(tokens)),
        (writer.add_tokenizer_model, "gpt2"),
        (writer.add_tokenizer_pre, "gpt-2"),
        (writer.add_token_list, tokens),
        (writer.add_token_types, [gguf.TokenType.NORMAL] * 257 + [gguf.TokenType.CONTROL] * (len(tokens) - 257)),
        (writer.add_token_merges, ["h i"]),
        (writer.add_bos_token_id, 257),
        (writer.add_eos_token_id, 259),
        (writer.add_chat_template, template),
    ):
        add(value)
    writer.add_layer_norm_rms_eps(1e-5)
    for name, shape in _shapes(len(tokens), hidden, layers).items():
        weights = _weights(shape, np.random.default_rng((seed, len(name), *shape)))
        if printable and name == "output.weight":
            weights[[*range(33), *range(127, len(tokens))]] = 0.0
        if quantized and weights.ndim > 1:
            packed = gguf.quants.quantize(weights, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_tiny_adapter(path: Path, *, seed: int = 0, hidden: int = 32, layers: int = 1, rank: int = 4) -> Path:
    """A random LoRA on the attention of a tiny model."""
    writer, random = gguf.GGUFWriter(str(path), "llama"), np.random.default_rng(seed)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 2.0 * rank)
    for layer in range(layers):
        for name in ("attn_q", "attn_v"):
            for side, shape in (("a", (rank, hidden)), ("b", (hidden, rank))):
                values = random.standard_normal(shape).astype(np.float32)
                writer.add_tensor(f"blk.{layer}.{name}.weight.lora_{side}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tiny_release(
    *, project: str = "shop", slots: int = 2, context: int = 128, system_prompt: str | None = None, **engine: object
) -> Release:
    """A release around the tiny model; `engine` may give model, adapter, kind and flags."""
    flags = engine.get("flags", {})
    adapter = engine.get("adapter")
    assert isinstance(flags, dict)
    return Release(
        project=project,
        task="chat",
        model=str(engine.get("model", "0" * 64)),
        adapter=None if adapter is None else str(adapter),
        artifact="model.gguf",
        chat_template=TEMPLATE,
        system_prompt=system_prompt,
        examples=(),
        sampling={"temperature": 0, "max_tokens": 8},
        constraint=Constraint(kind="none"),
        input_redaction="none",
        guardrails=(),
        engine=EngineSettings(
            kind=engine.get("kind", "llama.cpp"),  # type: ignore[arg-type]
            context=context,
            slots=slots,
            threads=1,
            flags=flags,
        ),
    )


def _weights(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    return (random.standard_normal(shape) * 0.2).astype(np.float32)


def _shapes(vocabulary: int, hidden: int, layers: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, hidden),
        "output_norm.weight": (hidden,),
        "output.weight": (vocabulary, hidden),
    }
    for layer in range(layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"blk.{layer}.{name}.weight"] = (hidden, hidden)
        for name in ("attn_norm", "ffn_norm"):
            shapes[f"blk.{layer}.{name}.weight"] = (hidden,)
        shapes[f"blk.{layer}.ffn_gate.weight"] = shapes[f"blk.{layer}.ffn_up.weight"] = (2 * hidden, hidden)
        shapes[f"blk.{layer}.ffn_down.weight"] = (hidden, 2 * hidden)
    return shapes


def _byte_letters() -> list[str]:
    """GPT-2's letters for the 256 bytes, in byte order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]
