"""Low-rank adapters on a base model whose own weights stay as they are (LoRA, Hu 2021). I/O: writes the adapter."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from flyball.errors import InputError
from flyball.inference.model_folders import read_json
from flyball.training.config import LoraConfig
from flyball.training.model_writer import save_json

FOLDER = "adapter"
ALL = "all-linear"  # PEFT's word for all linear layers but the head


def add_adapters(loaded: Any, config: LoraConfig, *, base: str) -> Callable[[Path], None]:
    """Hold all weights of a transformers model and add adapters, which alone are trained, to its layers in place.

    What is returned merges them into the weights, once, and keeps them in `adapter/` of a folder, where they name
    `base` as their model. InputError for targets that are no linear layers of the model.
    """
    try:
        import peft  # 3 s, and in the `train` extra only
    except ImportError as error:
        raise InputError(f"{error.name} is not installed", cure='pip install "flyball[train]"') from error
    names = [config.targets] if isinstance(config.targets, str) else list(config.targets)
    if names != [ALL]:
        _require_layers(loaded, names)
    wanted = peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=ALL if names == [ALL] else names,
    )
    with warnings.catch_warnings(category=FutureWarning, action="ignore"):  # PEFT's, of names in transformers
        adapted = peft.get_peft_model(loaded, wanted)

    def merge(folder: Path) -> None:
        _save(adapted, folder / FOLDER, base)
        adapted.merge_and_unload()

    return merge


def _require_layers(loaded: Any, targets: Sequence[str]) -> None:
    """InputError for a name that no linear layer but the head has: the head may share its weights with the input."""
    head = loaded.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in loaded.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    if unknown := [name for name in targets if name not in linear]:
        raise InputError(
            f"train.lora.targets names {unknown[0]}, which no linear layer of the model is called",
            cure=f"use some of {', '.join(sorted(linear))}, or {ALL}",
        )


def _save(adapted: Any, folder: Path, base: str) -> None:
    """The adapter as PEFT loads it; its settings the same bytes each time, without the path of this machine."""
    adapted.save_pretrained(folder)
    settings = read_json(folder / "adapter_config.json")
    save_json(
        folder / "adapter_config.json",
        settings | {"base_model_name_or_path": base, "target_modules": sorted(settings["target_modules"])},
    )
    (folder / "README.md").unlink(missing_ok=True)  # an empty model card
