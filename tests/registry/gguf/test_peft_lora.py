"""A PEFT adapter applied by llama.cpp makes the model that PEFT makes of it, or is refused when it is taken in."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from flyball.engines.llama_cpp import KIND as LLAMA_CPP
from flyball.engines.openai import KIND as OPENAI
from flyball.engines.vllm import KIND as VLLM
from flyball.errors import InputError
from flyball.inference.model_folders import read_model_folder
from flyball.registry.adapters import ADAPTER, import_adapter
from flyball.registry.gguf.writer import write_gguf
from flyball.serving.log_probabilities import log_probabilities
from tiny_gguf import write_tiny_adapter

RANK, ALPHA, HIDDEN = 4, 16.0, 64
SHAPES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, HIDDEN // 2),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.down_proj": (96, HIDDEN),
}
PLAIN = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none", "target_modules": ["q_proj"]}
TOKENS = [40, *((37 * place) % 400 + 65 for place in range(60))]


@pytest.fixture(scope="module")
def base(packaged: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with grouped heads, and its GGUF file."""
    import torch
    import transformers

    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=512,
        hidden_size=HIDDEN,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    folder = tmp_path_factory.mktemp("base")
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(packaged.training / name, folder / name)
    write_gguf(read_model_folder(folder), folder / "model.gguf", quantization="f32")
    return folder


def write_peft(folder: Path, **config: Any) -> dict[str, Any]:
    """A PEFT folder with random weights; A and B by tensor."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(5)
    tensors = {}
    for layer in range(2):
        for module, (takes, gives) in SHAPES.items():
            name = f"base_model.model.model.layers.{layer}.{module}"
            tensors[f"{name}.lora_A.weight"] = torch.randn(RANK, takes) * 0.1
            tensors[f"{name}.lora_B.weight"] = torch.randn(gives, RANK) * 0.1
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({**PLAIN, **config}))
    return tensors


def merged(base: Path, tensors: dict[str, Any], scales: dict[str, float]) -> Any:
    """transformers' log-probabilities of the base with the adapter added to its weights."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with torch.inference_mode():
        for name, weight in model.named_parameters():
            stem = "base_model.model." + name.removesuffix(".weight")
            if f"{stem}.lora_A.weight" in tensors:
                change = tensors[f"{stem}.lora_B.weight"] @ tensors[f"{stem}.lora_A.weight"]
                weight += change * scales.get(stem.rpartition(".")[2], scales[""])
        return torch.log_softmax(model(torch.tensor([TOKENS])).logits[0].double(), dim=-1).numpy()


@pytest.mark.parametrize(
    ("config", "scales"),
    [
        ({}, {"": ALPHA / RANK}),
        ({"use_rslora": True}, {"": ALPHA / math.sqrt(RANK)}),
        ({"alpha_pattern": {"q_proj": 4}}, {"": ALPHA / RANK, "q_proj": 4 / RANK}),
    ],
)
def test_the_adapter_changes_the_model_as_peft_does(
    base: Path, tmp_path: Path, config: dict[str, Any], scales: dict[str, float]
) -> None:
    tensors = write_peft(tmp_path / "peft", **config)
    made = import_adapter(
        tmp_path / "peft", project="shop", out=tmp_path / "out", engine=LLAMA_CPP, base=lambda _: base
    )
    assert (made.formats, made.architecture, [file.path for file in made.files]) == (("gguf-lora",), "llama", [ADAPTER])
    found = log_probabilities(base / "model.gguf", TOKENS, adapter=tmp_path / "out" / ADAPTER)
    expected, plain = merged(base, tensors, scales), merged(base, {}, {"": 0.0})
    pairs = list(zip(found, expected, plain, strict=True))
    assert max(abs(row[token] - value) for likely, row, _ in pairs for token, value in likely.items()) < 0.001
    assert max(abs(row[token] - value) for likely, _, row in pairs for token, value in likely.items()) > 0.5


@pytest.mark.parametrize(
    "config",
    [
        {"use_dora": True},
        {"bias": "all"},
        {"modules_to_save": ["lm_head"]},
        {"init_lora_weights": "pissa"},
        {"fan_in_fan_out": True},
        {"trainable_token_indices": [1]},
        {"something_new": 1},
    ],
)
def test_what_llama_cpp_would_not_apply_is_refused_with_its_key(
    base: Path, tmp_path: Path, config: dict[str, Any]
) -> None:
    write_peft(tmp_path / "peft", **config)
    with pytest.raises(InputError, match=next(iter(config))):
        import_adapter(tmp_path / "peft", project="shop", out=tmp_path / "o", engine=LLAMA_CPP, base=lambda _: base)


def test_an_adapter_of_another_model_or_engine_is_refused_when_it_is_taken_in(base: Path, tmp_path: Path) -> None:
    from tiny_gguf import write_tiny_gguf

    write_peft(tmp_path / "peft")
    other = write_tiny_gguf(tmp_path / "model.gguf", hidden=32)
    with pytest.raises(InputError, match="does not fit a model of 1 layers and 32 numbers"):
        import_adapter(tmp_path / "peft", project="shop", out=tmp_path / "o", engine=LLAMA_CPP, base=lambda _: other)
    gguf = write_tiny_adapter(tmp_path / "adapter.gguf")
    with pytest.raises(InputError, match="vllm does not apply"):
        import_adapter(gguf, project="shop", out=tmp_path / "o", engine=VLLM)
    with pytest.raises(InputError, match="applies its own adapters"):
        import_adapter(gguf, project="shop", out=tmp_path / "o", engine=OPENAI)
    kept = import_adapter(tmp_path / "peft", project="shop", out=tmp_path / "v", engine=VLLM, base=lambda _: base)
    assert kept.formats == ("peft-lora",)
