"""Takes a LoRA adapter in as an artefact: a GGUF file for llama.cpp, or a PEFT folder for vLLM. I/O: reads, copies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from flyball.engines.kind import EngineKind
from flyball.errors import InputError
from flyball.inference.model_folders import read_json, refuse_code
from flyball.records import ModelVersion
from flyball.registry.gguf.header import read_header
from flyball.registry.gguf.peft_lora import base_of, write_lora
from flyball.storage.artifacts import file_refs

ADAPTER = "adapter.gguf"
_GGUF, _PEFT = "gguf-lora", "peft-lora"
"""Forms of an adapter."""
_FILES = ("adapter_config.json", "adapter_model.safetensors")


def is_adapter(path: Path) -> bool:
    """Whether a path is an adapter by its form: a GGUF file that says so, or a folder with PEFT's configuration."""
    if path.is_file():
        with path.open("rb") as file:
            known = file.read(4) == b"GGUF"
        return known and read_header(path).get("general.type") == "adapter"
    return (path / _FILES[0]).is_file()


def import_adapter(
    path: Path, *, project: str, out: Path, engine: EngineKind | None = None, base: Callable[[str], Path] | None = None
) -> ModelVersion:
    """The adapter in `out`, as the `engine` (None: any) applies it.

    A PEFT folder is converted for an engine that applies GGUF files: `base` gives the folder of its base model by the
    name that the adapter says. InputError for a file or folder that holds none or that the engine cannot apply,
    RefusedError for code.
    """
    out.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        architecture, form = _of_gguf(path), _GGUF
        if engine and engine.applies == _PEFT:
            raise InputError(
                f"{path} is a GGUF adapter, which {engine.name} does not apply", cure="give the PEFT folder"
            )
        shutil.copyfile(path, out / ADAPTER)
    else:
        architecture, form = _of_peft(path), _PEFT
        if engine and engine.applies == _GGUF and base:
            model, form = base_of(base(architecture)), _GGUF
            write_lora(path, model, out / ADAPTER)
            architecture = model.architecture.gguf
        else:
            for name in _FILES:
                shutil.copyfile(path / name, out / name)
    if engine and not engine.applies:
        where = "a server elsewhere applies its own" if engine.runs == "elsewhere" else "it applies no"
        raise InputError(f"release.engine.kind is {engine.name}: {where} adapters", cure="leave the adapter out")
    return ModelVersion(
        project=project,
        training_run=None,
        dataset=None,
        architecture=architecture,
        parameters=0,
        context_length=0,
        formats=(form,),
        files=file_refs(out),
        chat_template="",
    )


def _of_gguf(path: Path) -> str:
    header = read_header(path)
    if header.get("general.type") != "adapter" or header.get("adapter.type") != "lora":
        raise InputError(f"{path} is a GGUF file, but no LoRA adapter", cure="give a model as its Hugging Face folder")
    return str(header.get("general.architecture", ""))


def _of_peft(folder: Path) -> str:
    refuse_code(folder)
    config = read_json(folder / _FILES[0])
    if config.get("peft_type") != "LORA" or not (folder / _FILES[1]).is_file():
        raise InputError(f"{folder} holds no LoRA adapter as safetensors", cure=f"it needs {' and '.join(_FILES)}")
    return str(config.get("base_model_name_or_path") or "")
