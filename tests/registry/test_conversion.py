"""Whatever a config.json says is in the package, or the model is refused with the key that cannot be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flyball.errors import CorruptionError, InputError
from flyball.inference.model_folders import read_model_folder
from flyball.registry.config import PackageConfig
from flyball.registry.config_keys import context_length
from flyball.registry.gguf.architectures import ARCHITECTURES, architecture_of
from flyball.registry.model_import import import_model
from flyball.telemetry import quiet
from flyball.workflows.probability_check import MOST_NATS, agreement

BASE: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
YARN = {"factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
EXACT: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("Llama", {}),
    "rope theta": ("Llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
    "linear": ("Llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000.0}}),
    "yarn": ("Llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1000.0, **YARN}}),
    "llama3": ("Llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1000.0, **LLAMA3}}),
    "head_dim": ("Llama", {"head_dim": 32}),
    "tied": ("Llama", {"tie_word_embeddings": True}),
    "attention_bias": ("Llama", {"attention_bias": True}),
    "mlp_bias": ("Llama", {"mlp_bias": True}),
    "sliding_window": ("Mistral", {"sliding_window": 96}),
    "qwen2": ("Qwen2", {"sliding_window": 32, "use_sliding_window": False}),
    "qwen3": ("Qwen3", {"head_dim": 32}),
    "qwen3 yarn": ("Qwen3", {"head_dim": 32, "rope_parameters": {"rope_type": "yarn", "rope_theta": 1000.0, **YARN}}),
}
Maker = Callable[..., Path]


@pytest.fixture
def make(packaged: Any, tmp_path: Path) -> Maker:
    """Writes a random model of a family under a configuration, as transformers saves it."""
    import torch
    import transformers

    def made(family: str, **config: Any) -> Path:
        torch.manual_seed(7)
        settings = getattr(transformers, f"{family}Config")(**{**BASE, **config}, initializer_range=0.3)
        model = getattr(transformers, f"{family}ForCausalLM")(settings)
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                torch.nn.init.normal_(weight, mean=float("norm" in name), std=0.3)
        folder = tmp_path / "folder"
        model.save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(packaged.training / name, folder / name)
        return folder

    return made


def changed(folder: Path, **keys: Any) -> Path:
    """The folder with these keys of config.json; None takes one out."""
    config = {**json.loads((folder / "config.json").read_text()), **keys}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


def agrees(folder: Path, out: Path) -> dict[str, Any]:
    model = import_model(folder, config=PackageConfig(quantization="f32"), project="shop", out=out)
    return dict(agreement(folder, out, model, quiet))


@pytest.mark.parametrize("case", EXACT)
def test_each_setting_that_is_packaged_gives_the_probabilities_of_transformers(case: str, make: Maker, tmp_path: Path):
    family, config = EXACT[case]
    kept = agrees(make(family, **config), tmp_path / "out")
    assert kept["checked"] and kept["tokens"] >= 94 and kept["largest_nats_f32"] < MOST_NATS / 5, kept


@pytest.mark.parametrize("kind", ["linear", "yarn"])
def test_a_scaling_under_its_old_key_is_the_same_scaling(kind: str, make: Maker, tmp_path: Path) -> None:
    folder = make("Llama", rope_parameters={"rope_type": kind, "rope_theta": 1000.0, "factor": 4.0})
    changed(folder, rope_parameters=None, rope_theta=1000.0, rope_scaling={"type": kind, "factor": 4.0})
    assert agrees(folder, tmp_path / "out")["largest_nats_f32"] < MOST_NATS / 5


REFUSED: dict[str, dict[str, Any]] = {
    "rope scaling dynamic": {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
    "rope scaling longrope": {"rope_scaling": {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [2.0]}},
    "attention_factor": {"rope_scaling": {"type": "yarn", "factor": 4.0, "attention_factor": 2.0}},
    "beta_fast": {"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 16}},
    "mscale": {"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": 0.7}},
    "has no factor": {"rope_scaling": {"type": "linear"}},
    "has no high_freq_factor": {"rope_scaling": {"rope_type": "llama3", **LLAMA3, "high_freq_factor": None}},
    "partial_rotary_factor": {"partial_rotary_factor": 0.5},
    "rope_parameters": {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}},
    "final_logit_softcapping": {"final_logit_softcapping": 30.0},
    "attn_logit_softcapping": {"attn_logit_softcapping": 50.0},
    "hidden_act": {"hidden_act": "gelu"},
    "layer_types": {"layer_types": ["sliding_attention", "full_attention"]},
    "no_rope_layers": {"no_rope_layers": [0, 1]},
    "logits_scaling": {"logits_scaling": 8.0},
    "quantization_config": {"quantization_config": {"quant_method": "gptq"}},
    "something_new": {"something_new": 3},
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_would_change_the_numbers_is_refused_with_its_key(key: str) -> None:
    config = {**BASE, "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", **REFUSED[key]}
    with pytest.raises(InputError, match=key):
        architecture_of(config)


def test_biases_are_taken_only_where_the_engine_adds_them(make: Maker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="attention_bias"):
        import_model(make("Qwen3", attention_bias=True), config=PackageConfig(), project="shop", out=tmp_path / "out")


def test_keys_of_training_generation_and_loading_are_no_obstacle() -> None:
    harmless = {"torch_dtype": "bfloat16", "temperature": 0.6, "_model_name_or_path": "x", "is_llama_config": True}
    more = {"rope_interleaved": False, "future_flag": None, "another": {}, "use_cache": True, "pretraining_tp": 1}
    for name in ARCHITECTURES:
        architecture_of({**BASE, "architectures": [name], "hidden_act": "silu", **harmless, **more})
    assert architecture_of({**BASE, "model_type": "qwen2"})[0] == "Qwen2ForCausalLM"


def test_a_window_bounds_what_the_packaged_model_reads() -> None:
    assert context_length({"max_position_embeddings": 32768, "sliding_window": 4096}) == 4096
    assert context_length({"max_position_embeddings": 32768, "sliding_window": None}) == 32768
    unused = {"max_position_embeddings": 32768, "sliding_window": 4096, "use_sliding_window": False}
    assert context_length(unused) == 32768


def test_weights_are_found_whatever_lies_beside_them(make: Maker, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = make("Llama", tie_word_embeddings=True)
    want = import_model(folder, config=PackageConfig(), project="shop", out=tmp_path / "one")
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    shards = {f"model-0000{n}-of-00002.safetensors": names[n - 1 :: 2] for n in (1, 2)}
    for file, part in shards.items():
        plain = {name.removeprefix("model."): weights[name] for name in part}
        save_file({**plain, f"layers.{file[8]}.self_attn.rotary_emb.inv_freq": torch.ones(8)}, folder / file)
    save_file({"tok_embeddings.weight": torch.ones(4, 4)}, folder / "consolidated.safetensors")
    index = {"weight_map": {name.removeprefix("model."): file for file, part in shards.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    found = import_model(folder, config=PackageConfig(), project="shop", out=tmp_path / "two")
    assert (tmp_path / "one/model.gguf").read_bytes() == (tmp_path / "two/model.gguf").read_bytes()
    assert found.parameters == want.parameters
    assert "consolidated.safetensors" not in {file.path for file in found.files}
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CorruptionError, match="lacks model-00002"):
        import_model(folder, config=PackageConfig(), project="shop", out=tmp_path / "three")


def test_a_model_without_its_head_is_refused(make: Maker, tmp_path: Path) -> None:
    folder = changed(make("Llama", tie_word_embeddings=True), tie_word_embeddings=False)
    with pytest.raises(InputError, match=r"no lm_head\.weight"):
        import_model(folder, config=PackageConfig(), project="shop", out=tmp_path / "out")


def test_a_conversion_that_changed_the_model_is_found(make: Maker, tmp_path: Path) -> None:
    folder = make("Llama")
    model = import_model(folder, config=PackageConfig(quantization="f32"), project="shop", out=tmp_path / "out")
    changed(folder, rope_parameters={"rope_type": "default", "rope_theta": 50.0})
    with pytest.raises(CorruptionError, match="differ by up to"):
        agreement(folder, tmp_path / "out", model, quiet)
    assert read_model_folder(folder).config["hidden_size"] == 64


def test_fewer_bits_are_checked_in_32_and_their_own_difference_is_kept(make: Maker, tmp_path: Path) -> None:
    folder = make("Llama")
    model = import_model(folder, config=PackageConfig(quantization="q8_0"), project="shop", out=tmp_path / "out")
    kept = agreement(folder, tmp_path / "out", model, quiet)
    assert kept["largest_nats_f32"] < MOST_NATS < kept["largest_nats"]
    assert (kept["tokens"], [path.name for path in tmp_path.glob("agreement-*")]) == (200, [])
