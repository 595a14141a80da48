"""Writes a Hugging Face model folder as one GGUF file. I/O: reads the folder, writes the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyball.errors import InputError
from flyball.inference.model_folders import ModelFolder, read_json
from flyball.registry.config_keys import context_length
from flyball.registry.gguf.architectures import Architecture, architecture_of, gguf_name, head_size, permuted
from flyball.registry.gguf.quantization import FILE_TYPES, Quantization, form_of, quantized
from flyball.registry.gguf.rope import Rope, rope_of
from flyball.registry.gguf.vocabulary import Vocabulary, read_vocabulary
from flyball.registry.weight_files import read_tensors

if TYPE_CHECKING:
    from gguf import GGUFWriter

_PLAIN = {"F32": "float32", "F16": "float16"}


def write_gguf(folder: ModelFolder, out: Path, *, quantization: Quantization) -> int:
    """Convert the folder's safetensors; returns the number of parameters."""
    from gguf import GGUFWriter  # needs numpy, which only packaging has

    config = folder.config
    _, architecture = architecture_of(config)
    vocabulary = read_vocabulary(
        read_json(folder.path / "tokenizer.json"),
        folder.tokenizer,
        size=config["vocab_size"],
        chat_template=folder.chat_template,
    )
    writer = GGUFWriter(out, architecture.gguf)
    try:
        _add_shape(writer, config, quantization)
        _add_vocabulary(writer, vocabulary, folder.chat_template)
        parameters = _add_tensors(writer, folder.path, config, architecture, quantization)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    return parameters


def _add_shape(writer: GGUFWriter, config: Mapping[str, Any], quantization: Quantization) -> None:
    from gguf import LlamaFileType

    heads = config["num_attention_heads"]
    size = head_size(config)
    writer.add_file_type(LlamaFileType[FILE_TYPES[quantization]])
    writer.add_quantization_version(2)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(context_length(config))
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    _add_rope(writer, rope_of(config, size))


def _add_rope(writer: GGUFWriter, rope: Rope) -> None:
    import numpy
    from gguf import RopeScalingType

    writer.add_rope_freq_base(rope.base)
    if rope.kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(RopeScalingType[rope.kind.upper()])
        writer.add_rope_scaling_factor(rope.factor)
    if rope.kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope.original_context)
    if rope.factors:
        writer.add_tensor("rope_freqs.weight", numpy.array(rope.factors, dtype=numpy.float32))


def _add_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary, chat_template: str) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.splitter)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types(list(vocabulary.types))
    writer.add_token_merges(list(vocabulary.merges))
    if vocabulary.begin is not None:
        writer.add_bos_token_id(vocabulary.begin)
    if vocabulary.end is not None:
        writer.add_eos_token_id(vocabulary.end)
    if vocabulary.padding is not None:
        writer.add_pad_token_id(vocabulary.padding)
    writer.add_add_bos_token(vocabulary.adds_begin)
    writer.add_add_eos_token(False)
    if chat_template:
        writer.add_chat_template(chat_template)


def _add_tensors(
    writer: GGUFWriter, folder: Path, config: Mapping[str, Any], architecture: Architecture, quantization: Quantization
) -> int:
    import numpy
    from gguf import GGMLQuantizationType

    heads = config["num_attention_heads"]
    heads_of = {".q_proj.": heads, ".k_proj.": config.get("num_key_value_heads") or heads}
    parameters = 0
    tensors = read_tensors(folder)
    if not config.get("tie_word_embeddings") and all(name != "lm_head.weight" for name, _ in tensors):
        raise InputError(
            f"{folder} has no lm_head.weight, and config.json does not tie it to the embedding",
            cure="save the whole model for causal language modelling, or set tie_word_embeddings",
        )
    for name, weight in tensors:
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue  # llama.cpp uses the embedding for both when there is no output tensor
        if architecture.permuted:
            for part, count in heads_of.items():
                weight = permuted(weight, count) if part in name else weight
        parameters += weight.size
        place = gguf_name(name, architecture)
        form = form_of(
            place,
            quantization,
            dimensions=weight.ndim,
            columns=weight.shape[-1],
            layers=config["num_hidden_layers"],
        )
        if form in _PLAIN:
            writer.add_tensor(place, numpy.ascontiguousarray(weight, dtype=_PLAIN[form]))
        else:
            writer.add_tensor(place, quantized(weight, form), raw_dtype=GGMLQuantizationType[form])
    return parameters
