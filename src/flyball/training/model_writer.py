"""Writes what a training leaves behind, as transformers would. I/O: writes files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CARRIED = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "vocab.json", "merges.txt", "generation_config.json"),
)


def save_weights(folder: Path, model: Any) -> None:
    """model.safetensors with the weights under transformers' names."""
    from safetensors.torch import save_file

    weights = {name: weight.detach().contiguous() for name, weight in model.named_parameters()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def save_finetuned(folder: Path, loaded: Any, base: Path) -> None:
    """A transformers model with the tokenizer files of the folder that it came from."""
    loaded.save_pretrained(folder)
    carry_tokenizer(folder, base)


def carry_tokenizer(folder: Path, base: Path) -> None:
    """The tokenizer files of another model folder, its chat template and how it generates."""
    for name in _CARRIED:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)


def save_json(path: Path, document: Any) -> None:
    """Pretty JSON with a final line end."""
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def hash_of(folder: Path, pattern: str) -> str:
    """SHA-256 over the named files of a folder, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob(pattern)):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def flattened(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted names, for trackers."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
