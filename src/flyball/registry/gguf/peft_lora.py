"""Writes a PEFT LoRA adapter as the GGUF file that llama.cpp applies. I/O: reads the folder, writes the file.

The change of a weight is B·A times alpha/r; llama.cpp multiplies by `adapter.lora.alpha` over the rank that it sees, so
what PEFT scales otherwise (rsLoRA, alphas of single modules) goes into B. Rows of B are ordered as the base's rows are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyball.errors import CorruptionError, InputError
from flyball.inference.model_folders import read_json
from flyball.registry.gguf.architectures import ARCHITECTURES, Architecture, architecture_of, gguf_name, permuted
from flyball.registry.gguf.header import read_header
from flyball.registry.packaging import GGUF
from flyball.registry.weight_files import read_file

if TYPE_CHECKING:
    import numpy

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_KNOWN = frozenset(
    {
        *("peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "target_modules", "task_type"),
        *("base_model_name_or_path", "inference_mode", "lora_dropout", "peft_version", "revision", "exclude_modules"),
        *("layers_to_transform", "layers_pattern", "megatron_core", "qalora_group_size", "runtime_config"),
    }
)
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {"bias": ("none",), "init_lora_weights": (True, "gaussian", "orthogonal")}
_UNSET: tuple[Any, ...] = (None, False, [], {}, "")
_NAME = re.compile(r"(?:base_model\.model\.)?(?P<module>model\.layers\.\d+\.[\w.]+)\.lora_(?P<side>[AB])\.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What an adapter has to fit: the architecture, heads, layers and hidden numbers of its base model."""

    architecture: Architecture
    heads: int
    kv_heads: int
    layers: int
    hidden: int


def base_of(folder: Path) -> Base:
    """The base in a model folder: by its config.json, or by the header of its GGUF file."""
    if (folder / "config.json").is_file():
        config = read_json(folder / "config.json")
        heads = int(config["num_attention_heads"])
        return Base(
            architecture=architecture_of(config)[1],
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
        )
    header = read_header(folder / GGUF if folder.is_dir() else folder)
    name = str(header.get("general.architecture"))
    known = next((one for one in ARCHITECTURES.values() if one.gguf == name), None)
    if known is None:
        raise InputError(f"no adapter is converted for the architecture {name}", cure="give it as a GGUF file")
    heads = int(header[f"{name}.attention.head_count"])
    return Base(
        architecture=known,
        heads=heads,
        kv_heads=int(header.get(f"{name}.attention.head_count_kv", heads)),
        layers=int(header[f"{name}.block_count"]),
        hidden=int(header[f"{name}.embedding_length"]),
    )


def write_lora(folder: Path, base: Base, out: Path) -> None:
    """Convert the adapter in `folder`; InputError, with its key or tensor, for what llama.cpp would not apply."""
    from gguf import GGUFWriter  # needs numpy, which only packaging has

    config = read_json(folder / CONFIG)
    check_config(config)
    pairs = _pairs(folder)
    alpha = float(config["lora_alpha"])
    writer = GGUFWriter(out, base.architecture.gguf)
    try:
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", alpha)
        for module, sides in sorted(pairs.items()):
            a, b = _fitting(module, sides, base)
            name = gguf_name(f"{module}.weight", base.architecture)
            writer.add_tensor(f"{name}.lora_a", a)
            writer.add_tensor(f"{name}.lora_b", _ordered(module, b * _in_b(config, module, a.shape[0], alpha), base))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def check_config(config: Mapping[str, Any]) -> None:
    """InputError for a setting of the adapter that a LoRA of llama.cpp does not have."""
    for key, value in config.items():
        if key not in _KNOWN and value not in (*_UNSET, *_NEUTRAL.get(key, ())):
            raise InputError(
                f"{CONFIG} sets {key} to {value}, which llama.cpp does not apply",
                cure="merge the adapter into its model and import that, or serve it with vLLM",
            )


def _pairs(folder: Path) -> dict[str, dict[str, Any]]:
    """A and B by module, in 32 bits."""
    found: dict[str, dict[str, Any]] = {}
    for name, weight in read_file(folder / WEIGHTS):
        match = _NAME.fullmatch(name)
        if not match:
            raise InputError(f"the adapter's tensor {name} has no place in llama.cpp", cure="merge it into its model")
        found.setdefault(match["module"], {})[match["side"]] = weight
    if not found:
        raise InputError(f"{folder / WEIGHTS} holds no tensors", cure="save the adapter again")
    return found


def _fitting(
    module: str, sides: Mapping[str, Any], base: Base
) -> tuple[numpy.ndarray[Any, Any], numpy.ndarray[Any, Any]]:
    import numpy

    if set(sides) != {"A", "B"}:
        raise CorruptionError(f"the adapter has half of {module} only", cure="save the adapter again")
    a, b = (numpy.ascontiguousarray(sides[side], dtype=numpy.float32) for side in ("A", "B"))
    layer = int(module.split(".")[2])
    takes_hidden = not module.endswith((".o_proj", ".down_proj"))
    if layer >= base.layers or (takes_hidden and a.shape[1] != base.hidden) or a.shape[0] != b.shape[1]:
        raise InputError(
            f"the adapter's {module} ({a.shape[1]} numbers) does not fit a model of {base.layers} layers and "
            f"{base.hidden} numbers",
            cure="name the model that it was trained on: --base MODEL",
        )
    return a, b


def _in_b(config: Mapping[str, Any], module: str, rank: int, alpha: float) -> float:
    """What PEFT scales by over what llama.cpp does (alpha / rank)."""
    own = next((float(v) for key, v in (config.get("alpha_pattern") or {}).items() if _is_of(key, module)), alpha)
    return own / alpha * (math.sqrt(rank) if config.get("use_rslora") else 1.0)


def _is_of(name: str, module: str) -> bool:
    """Whether a name of PEFT's patterns means a module: the end of its own name, after a dot."""
    if not re.fullmatch(r"[\w.]+", name):
        raise InputError(f"{CONFIG} names modules by the pattern {name}", cure="merge the adapter into its model")
    return module == name or module.endswith(f".{name}")


def _ordered(module: str, b: numpy.ndarray[Any, Any], base: Base) -> numpy.ndarray[Any, Any]:
    import numpy

    heads = {"q_proj": base.heads, "k_proj": base.kv_heads}.get(module.rpartition(".")[2])
    ordered = permuted(b, heads) if heads and base.architecture.permuted else b
    return numpy.ascontiguousarray(ordered, dtype=numpy.float32)
