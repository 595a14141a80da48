"""How each supported Hugging Face architecture is named and laid out in GGUF."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flyball.errors import InputError
from flyball.registry.config_keys import check_keys
from flyball.registry.gguf.rope import rope_of

if TYPE_CHECKING:
    import numpy

_LAYER = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One family: its name in GGUF, and whether its rotary halves are interleaved there (q and k rows permuted).

    `biases` are the layers that llama.cpp adds a bias in, `norms` says whether it normalises queries and keys.
    """

    gguf: str
    permuted: bool
    biases: frozenset[str] = frozenset()
    norms: bool = False


_QKV = frozenset({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"})
_NORMS = frozenset({"self_attn.q_norm", "self_attn.k_norm"})
_ALL = _QKV | {"self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}
ARCHITECTURES: Mapping[str, Architecture] = {
    "LlamaForCausalLM": Architecture(gguf="llama", permuted=True, biases=_ALL),
    "MistralForCausalLM": Architecture(gguf="llama", permuted=True),
    "Qwen2ForCausalLM": Architecture(gguf="qwen2", permuted=False, biases=_QKV),
    "Qwen3ForCausalLM": Architecture(gguf="qwen3", permuted=False, norms=True),
}
_OF_TYPE = {name.removesuffix("ForCausalLM").lower(): name for name in ARCHITECTURES}


def architecture_of(config: Mapping[str, Any]) -> tuple[str, Architecture]:
    """The architecture that a config.json names; InputError for one that packaging does not know, or for a setting.

    Without a name the type of the model says it, as in transformers.
    """
    name = next(iter(config.get("architectures") or ()), None) or _OF_TYPE.get(str(config.get("model_type")), "none")
    if name not in ARCHITECTURES:
        raise InputError(f"the architecture {name} cannot be packaged", cure=f"use one of {', '.join(ARCHITECTURES)}")
    check_keys(config, name)
    rope_of(config, head_size(config))
    return name, ARCHITECTURES[name]


def head_size(config: Mapping[str, Any]) -> int:
    """Numbers of one attention head: a setting of its own, or the hidden ones shared out."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def gguf_name(name: str, architecture: Architecture) -> str:
    """The GGUF name of a Hugging Face tensor; InputError for one that llama.cpp would not use."""
    stem, _, kind = name.rpartition(".")
    if stem in _OUTSIDE and kind == "weight":
        return f"{_OUTSIDE[stem]}.{kind}"
    found = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
    part = found[2] if found else ""
    usable = part in architecture.biases if kind == "bias" else architecture.norms or part not in _NORMS
    if not found or part not in _LAYER or not usable:
        raise InputError(
            f"the tensor {name} has no place in GGUF", cure="use an unchanged model of a known architecture"
        )
    return f"blk.{found[1]}.{_LAYER[found[2]]}.{kind}"


def permuted(weight: numpy.ndarray[Any, Any], heads: int) -> numpy.ndarray[Any, Any]:
    """Rows of a q or k projection from Hugging Face's order (halves) to llama.cpp's (pairs)."""
    rows, rest = weight.shape[0], weight.shape[1:]
    return weight.reshape(heads, 2, rows // heads // 2, *rest).swapaxes(1, 2).reshape(rows, *rest)
