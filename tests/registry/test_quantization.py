"""Blocks of the library that serves are those of gguf's own arithmetic, and q4_k_m is llama.cpp's mixture."""

from __future__ import annotations

from typing import get_args

import numpy
import pytest
from gguf import GGMLQuantizationType, quants

from flyball.inference.completions import HttpCompleter
from flyball.registry.config import PackageConfig
from flyball.registry.gguf.quantization import Quantization, form_of, quantized
from flyball.registry.gguf.tensors import read_layout
from flyball.registry.packaging import package
from small_models import LABELS, engine, rows

WEIGHTS = numpy.random.default_rng(0).standard_normal((16, 512)).astype(numpy.float32)


def test_q8_0_is_bit_for_bit_what_gguf_writes():
    assert (quantized(WEIGHTS, "Q8_0") == quants.quantize(WEIGHTS, GGMLQuantizationType.Q8_0)).all()


@pytest.mark.parametrize(("form", "most"), [("BF16", 0.003), ("Q6_K", 0.03), ("Q5_K", 0.05), ("Q4_K", 0.1)])
def test_blocks_read_back_near_the_weights(form, most):
    back = quants.dequantize(quantized(WEIGHTS, form), GGMLQuantizationType[form])
    assert 0 < float(numpy.sqrt(((back - WEIGHTS) ** 2).mean())) < most


@pytest.mark.parametrize(
    ("name", "columns", "form"),
    [
        ("output.weight", 512, "Q6_K"),
        ("token_embd.weight", 576, "Q8_0"),
        ("blk.0.attn_q.weight", 512, "Q4_K"),
        ("blk.0.attn_q.weight", 576, "Q5_0"),
        ("blk.0.attn_v.weight", 512, "Q6_K"),
        ("blk.3.attn_v.weight", 512, "Q4_K"),
        ("blk.15.ffn_down.weight", 512, "Q6_K"),
        ("blk.0.attn_q.weight", 30, "F16"),
    ],
)
def test_the_mixture_is_that_of_llama_cpp(name, columns, form):
    assert form_of(name, "q4_k_m", dimensions=2, columns=columns, layers=16) == form


@pytest.mark.parametrize("form", get_args(Quantization))
def test_each_form_loads_and_answers(packaged, tmp_path, form):
    config = PackageConfig(quantization=form)
    made = package(packaged.training, config=config, run=None, project="shop", profile=None, out=tmp_path / "made")
    assert made.formats[0] == f"gguf:{form}"
    assert read_layout(tmp_path / "made" / "model.gguf").parameters == made.parameters
    asked = rows(8, seed=5)
    with engine(tmp_path / "made" / "model.gguf") as url:
        completer = HttpCompleter(url)
        given = [
            completer.complete({"messages": [{"role": "user", "content": r.text}], "max_tokens": 8}).text for r in asked
        ]
    assert sum(text in LABELS for text in given) >= 6
    assert sum(text == row.label for text, row in zip(given, asked, strict=True)) >= 6
