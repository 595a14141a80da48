"""Give a model out in a layout that others load. I/O: reads the artefact store, writes one new folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from flyball.errors import InputError
from flyball.inference.model_folders import whole_folder
from flyball.records.identity import short
from flyball.registry.adapters import ADAPTER
from flyball.registry.packaging import GGUF
from flyball.wiring import Project
from flyball.workflows.aliases import model_named

LAYOUTS = ("hf", "gguf", "adapter", "mlflow")
_OURS = (GGUF, "profile.json")
_PEFT = ("adapter_config.json", "adapter_model.safetensors")


def export_model(project: Project, name: str, *, to: Path, layout: str) -> list[str]:
    """Write the model into the new folder `to`; the files that are there then. Its bytes are checked first.

    InputError where the model does not hold what the layout needs, or the folder is not new.
    """
    stored, model = model_named(project, name)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"{to} is there already", cure="name a new folder")
    folder = project.artifacts.path(stored.id)
    project.artifacts.verify(stored.id, model.files)
    held = {file.path for file in model.files}
    wanted = {
        "hf": held - set(_OURS) if "config.json" in held else set(),
        "mlflow": held - set(_OURS) if "config.json" in held else set(),
        "gguf": held & {GGUF},
        "adapter": held & {ADAPTER, *_PEFT},
    }[layout]
    if not wanted:
        raise InputError(
            f"model {short(stored.id)} is there as {', '.join(model.formats)}, which gives no {layout}",
            cure="export another layout, or import its Hugging Face folder",
        )
    with whole_folder(to) as out:
        if layout == "mlflow":
            from flyball.training.mlflow_model import write_mlflow_model  # MLflow and transformers load with it

            write_mlflow_model(folder, out, run_id="")
            _own_files(out)
        else:
            for file in sorted(wanted):
                shutil.copyfile(folder / file, out / file)
    return sorted(path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file())


def _own_files(folder: Path) -> None:
    """Files of their own in place of second names of the store's: what is exported may be changed."""
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_nlink > 1:
            copy = path.with_name(f".{path.name}.copy")
            shutil.copyfile(path, copy)
            copy.replace(path)
