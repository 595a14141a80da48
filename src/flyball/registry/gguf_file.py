"""Writes a Hugging Face model folder as one GGUF file. I/O: reads the folder, writes the file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from flyball.errors import CorruptionError, InputError
from flyball.inference.model_folders import ModelFolder, read_json
from flyball.registry.architectures import Architecture, architecture_of, gguf_name, permuted
from flyball.registry.vocabularies import Vocabulary, read_vocabulary

if TYPE_CHECKING:
    from gguf import GGUFWriter

Quantization = Literal["q8_0", "f16", "f32"]


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
    head_size = config.get("head_dim") or config["hidden_size"] // heads
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if scaling.get("rope_type", "default") != "default":
        raise InputError(f"rope scaling {scaling['rope_type']} cannot be packaged", cure="use a model without it")
    kinds = {"q8_0": "MOSTLY_Q8_0", "f16": "MOSTLY_F16", "f32": "ALL_F32"}
    writer.add_file_type(LlamaFileType[kinds[quantization]])
    writer.add_quantization_version(2)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(float(scaling.get("rope_theta") or config.get("rope_theta") or 10_000.0))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


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
    from gguf import GGMLQuantizationType, quantize

    heads = config["num_attention_heads"]
    heads_of = {".q_proj.": heads, ".k_proj.": config.get("num_key_value_heads") or heads}
    parameters = 0
    for name, weight in read_tensors(folder):
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue  # llama.cpp uses the embedding for both when there is no output tensor
        if architecture.permuted:
            for part, count in heads_of.items():
                weight = permuted(weight, count) if part in name else weight
        parameters += weight.size
        if quantization == "f32" or weight.ndim == 1:
            writer.add_tensor(gguf_name(name), numpy.ascontiguousarray(weight, dtype=numpy.float32))
        elif quantization == "q8_0" and weight.shape[-1] % 32 == 0:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(gguf_name(name), quantize(numpy.ascontiguousarray(weight), kind), raw_dtype=kind)
        else:
            writer.add_tensor(gguf_name(name), numpy.ascontiguousarray(weight, dtype=numpy.float16))
    return parameters


def read_tensors(folder: Path) -> list[tuple[str, Any]]:
    """Every tensor of the folder's safetensors files, by name, as float32 arrays; CorruptionError for a broken file."""
    from safetensors import SafetensorError, deserialize

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder} has no .safetensors file", cure="give a Hugging Face model folder with safetensors")
    tensors: list[tuple[str, Any]] = []
    for path in files:
        try:
            tensors += [(name, _array(name, stored)) for name, stored in deserialize(path.read_bytes())]  # type: ignore[no-untyped-call]
        except (SafetensorError, OSError, ValueError) as error:
            raise CorruptionError(f"{path} cannot be read: {error}", cure="copy or train the model again") from error
    return sorted(tensors, key=lambda item: item[0])


def _array(name: str, stored: Mapping[str, Any]) -> Any:
    """A stored tensor as float32; numpy has no bfloat16, which is the upper half of a float32."""
    import numpy

    kind, data, shape = stored["dtype"], stored["data"], stored["shape"]
    if kind == "BF16":
        halves = numpy.frombuffer(data, dtype="<u2").astype("<u4") << 16
        return halves.view("<f4").reshape(shape)
    if kind not in ("F32", "F16"):
        raise InputError(
            f"the tensor {name} is stored as {kind}", cure="save the model as float32, float16 or bfloat16"
        )
    return numpy.frombuffer(data, dtype="<f4" if kind == "F32" else "<f2").astype("<f4").reshape(shape)
