"""Takes a Hugging Face model folder in as a model version. I/O: reads the folder, writes the package.

Nothing of the folder is run: only safetensors and JSON are read; remote code and pickles are refused.
"""

from __future__ import annotations

from pathlib import Path

from flyball.errors import InputError
from flyball.inference.model_folders import read_model_folder
from flyball.records import ModelVersion
from flyball.registry.config import PackageConfig
from flyball.registry.packaging import package


def import_model(folder: Path, *, config: PackageConfig, project: str, out: Path) -> ModelVersion:
    """The folder packaged into `out`; RefusedError for code or pickles, InputError for one without a chat template."""
    if not read_model_folder(folder).chat_template:
        raise InputError(f"{folder} has no chat template", cure="add chat_template.jinja: a base model cannot chat")
    return package(folder, config=config, run=None, project=project, profile=None, out=out)
