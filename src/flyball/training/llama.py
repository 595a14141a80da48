"""A small Llama (Touvron et al. 2023) in PyTorch, weights named as transformers names them.

transformers' own class has no dropout besides attention and computes every layer for every position. Here the last
layer's output, feed-forward part and the head run only where an answer is learned; the numbers are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flyball.training.config import SMALLEST_CONTEXT, SizeConfig

EPSILON = 1e-5
ROPE_THETA = 10_000.0
EMBEDDING_STD = 0.15


class Attention(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """Causal self-attention with rotary positions and shared key-value heads; rows are padded on the right only."""

    def __init__(self, size: SizeConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = size.heads, size.kv_heads, size.hidden // size.heads
        self.q_proj = nn.Linear(size.hidden, size.heads * self.head_size, bias=False)
        self.k_proj = nn.Linear(size.hidden, size.kv_heads * self.head_size, bias=False)
        self.v_proj = nn.Linear(size.hidden, size.kv_heads * self.head_size, bias=False)
        self.o_proj = nn.Linear(size.heads * self.head_size, size.hidden, bias=False)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor], chosen: Tensor | None = None) -> Tensor:
        """(batch, width, hidden) → the same shape, or (n, hidden) at `chosen` flat positions."""
        batch, width, _ = hidden.shape
        query = rotate(self._split(self.q_proj(hidden), self.heads), rotation)
        key = rotate(self._split(self.k_proj(hidden), self.kv_heads), rotation)
        value = self._split(self.v_proj(hidden), self.kv_heads)
        mixed = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=self.heads != self.kv_heads
        )
        return self.o_proj(at(mixed.transpose(1, 2).reshape(batch, width, -1), chosen))

    def _split(self, projected: Tensor, heads: int) -> Tensor:
        batch, width, _ = projected.shape
        return projected.view(batch, width, heads, self.head_size).transpose(1, 2)


class FeedForward(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """SwiGLU (Shazeer 2020)."""

    def __init__(self, size: SizeConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size.hidden, size.feed_forward, bias=False)
        self.up_proj = nn.Linear(size.hidden, size.feed_forward, bias=False)
        self.down_proj = nn.Linear(size.feed_forward, size.hidden, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Any shape ending in `hidden`."""
        return self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class Layer(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """One transformer layer, normalised before each part."""

    def __init__(self, size: SizeConfig, dropout: float) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(size.hidden, EPSILON)
        self.self_attn = Attention(size)
        self.post_attention_layernorm = nn.RMSNorm(size.hidden, EPSILON)
        self.mlp = FeedForward(size)
        self.dropout = dropout

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor], chosen: Tensor | None = None) -> Tensor:
        """(batch, width, hidden) → the same shape, or (n, hidden) at `chosen` flat positions."""
        attended = self.self_attn(self.input_layernorm(hidden), rotation, chosen)
        hidden = at(hidden, chosen) + F.dropout(attended, self.dropout, self.training)
        return hidden + F.dropout(self.mlp(self.post_attention_layernorm(hidden)), self.dropout, self.training)


class Body(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """Everything but the head, which shares the embedding's weights."""

    def __init__(self, size: SizeConfig, vocabulary: int, dropout: float) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, size.hidden)
        self.layers = nn.ModuleList(Layer(size, dropout) for _ in range(size.layers))
        self.norm = nn.RMSNorm(size.hidden, EPSILON)


class Llama(nn.Module):  # type: ignore[misc]  # torch is not followed by mypy
    """The model; `forward` gives logits at chosen positions only."""

    def __init__(self, size: SizeConfig, *, vocabulary: int, dropout: float) -> None:
        super().__init__()
        self.size, self.dropout = size, dropout
        self.model = Body(size, vocabulary, dropout)
        cosine, sine = rotations(size.hidden // size.heads, size.context or SMALLEST_CONTEXT)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self._initialise()

    def forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        """(batch, width) ids and flat positions (n) → (n, vocabulary) logits."""
        width = ids.shape[1]
        rotation = (self.cosine[:width], self.sine[:width])
        hidden = F.dropout(self.model.embed_tokens(ids), self.dropout, self.training)
        for layer in self.model.layers[:-1]:
            hidden = layer(hidden, rotation)
        hidden = self.model.norm(self.model.layers[-1](hidden, rotation, positions))
        return F.linear(F.dropout(hidden, self.dropout, self.training), self.model.embed_tokens.weight)

    def _initialise(self) -> None:
        """Weights by the width they read, so that narrow models start as fast as wide ones; residual branches small."""
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                deep = name.endswith(("o_proj.weight", "down_proj.weight"))
                scale = (2 * self.size.layers) ** -0.5 if deep else 1.0
                std = EMBEDDING_STD if "embed" in name else weight.shape[1] ** -0.5 * scale
                nn.init.normal_(weight, std=std)


def at(hidden: Tensor, chosen: Tensor | None) -> Tensor:
    """(batch, width, hidden) at `chosen` flat positions; all of it for None."""
    return hidden if chosen is None else hidden.flatten(0, 1)[chosen]


def rotations(head_size: int, context: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position's rotary angles, (context, head_size), halves repeated."""
    frequencies = ROPE_THETA ** (-torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.outer(torch.arange(context, dtype=torch.float32), frequencies)
    angles = torch.cat((angles, angles), dim=1)
    return angles.cos(), angles.sin()


def rotate(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary position embedding (Su et al. 2021) in the half-split layout."""
    cosine, sine = rotation
    left, right = heads.chunk(2, dim=-1)
    return heads * cosine + torch.cat((-right, left), dim=-1) * sine


def hugging_face_config(size: SizeConfig, *, vocabulary: int, end: int, padding: int) -> Mapping[str, Any]:
    """config.json of a folder that transformers loads."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": size.hidden,
        "intermediate_size": size.feed_forward,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.hidden // size.heads,
        "max_position_embeddings": size.context,
        "rms_norm_eps": EPSILON,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_THETA},
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "mlp_bias": False,
        "initializer_range": 0.02,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": padding,
        "dtype": "float32",
        "use_cache": True,
    }
