"""The model that a student learns from: a folder, or a model version of the project. I/O: the ledger, artefacts."""

from __future__ import annotations

from pathlib import Path

from flyball.errors import InputError, NotFoundError
from flyball.records.identity import short
from flyball.registry.aliases import find_model
from flyball.storage.artifacts import ArtifactStore
from flyball.storage.ledger import Ledger


def find_teacher(
    teacher: str, folder: Path, *, ledger: Ledger, state: Path, artifacts: ArtifactStore
) -> tuple[Path, str | None]:
    """The folder of `train.teacher`, and its name where it is a model version; `folder` is what it is as a path.

    InputError for what is neither, or for a model without the safetensors that say how likely a token is.
    """
    if folder.is_dir():
        return folder, None
    try:
        stored, model = find_model(ledger, state, teacher)
    except NotFoundError as error:
        raise InputError(
            f"train.teacher is {teacher}: there is no such folder, and no such model of this project",
            cure="name a Hugging Face model folder, or a model or alias that `flyball models` lists",
        ) from error
    if "safetensors" not in model.formats:
        raise InputError(
            f"the teacher {short(stored.id)} is there as {', '.join(model.formats)}, which gives no probabilities here",
            cure="name a model with safetensors, such as one that was trained or imported from a folder",
        )
    return artifacts.path(stored.id), stored.id
