"""Packages a trained model for the engine: safetensors as they are and one GGUF file. I/O: reads and writes folders."""

from __future__ import annotations

import shutil
from pathlib import Path

from flyball.inference.model_folders import ModelFolder, read_model_folder, whole_folder
from flyball.records import ModelVersion, TrainingRun, fingerprint
from flyball.registry.config import PackageConfig
from flyball.registry.config_keys import context_length
from flyball.registry.gguf.architectures import architecture_of
from flyball.registry.gguf.writer import write_gguf
from flyball.registry.weight_files import weight_files
from flyball.storage.artifacts import file_refs

GGUF = "model.gguf"
_KEPT = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("chat_template.jinja", "model.safetensors.index.json"),
)


def package(
    model_dir: Path,
    *,
    config: PackageConfig,
    run: TrainingRun | None,
    project: str,
    profile: Path | None,
    out: Path,
) -> ModelVersion:
    """Write `out` with everything that serving may load, and name every file by its hash.

    InputError for an architecture or tokenizer that the engine cannot have, CorruptionError for broken weights.
    """
    folder = read_model_folder(model_dir)
    architecture, _ = architecture_of(folder.config)
    with whole_folder(out) as partial:
        for path in _files_to_keep(folder):
            shutil.copyfile(path, partial / path.name)
        if profile:
            shutil.copyfile(profile, partial / "profile.json")
        parameters = write_gguf(folder, partial / GGUF, quantization=config.quantization)
        files = file_refs(partial)
    return ModelVersion(
        project=project,
        training_run=fingerprint(run) if run else None,
        dataset=run.dataset if run else None,
        architecture=architecture,
        parameters=parameters,
        context_length=context_length(folder.config),
        formats=(f"gguf:{config.quantization}", "safetensors"),
        files=files,
        chat_template=folder.chat_template,
    )


def _files_to_keep(folder: ModelFolder) -> list[Path]:
    named = [folder.path / name for name in _KEPT if (folder.path / name).is_file()]
    return [*named, *weight_files(folder.path)]
