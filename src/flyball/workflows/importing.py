"""Take a Hugging Face model folder in as a model version and compose a release of it. I/O: artefacts, ledger."""

from __future__ import annotations

import shutil
from pathlib import Path

from flyball.errors import InputError, NotFoundError
from flyball.records import ModelVersion, Release, name_of
from flyball.registry.adapters import import_adapter
from flyball.registry.composing import compose
from flyball.registry.importing import import_model
from flyball.wiring import Project


def take_adapter(project: Project, path: Path) -> ModelVersion:
    """A LoRA adapter, in the ledger and the artefact store; a release names it as `release.adapter`."""
    out = project.places.state / "partial" / f"import-{path.name}"
    shutil.rmtree(out, ignore_errors=True)
    try:
        adapter = import_adapter(path, project=project.name, out=out)
        project.artifacts.put(name_of(adapter), out, adapter.files)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    project.ledger.append(adapter, recorded={"imported_from": str(path)})
    return adapter


def take_model(project: Project, folder: Path) -> tuple[ModelVersion, Release]:
    """The model version and a release of it, both in the ledger, the files in the artefact store."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", cure="give a Hugging Face model folder with safetensors")
    out = project.places.state / "partial" / f"import-{folder.name}"
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    settings = project.settings
    try:
        model = import_model(folder, config=settings.package, project=project.name, out=out)
        project.artifacts.put(name_of(model), out, model.files)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    check_adapter(project)
    release = compose(
        settings.release,
        project=project.name,
        task=settings.task,
        model=model,
        labels=settings.data.validate.labels or (),
        redaction=settings.data.redact.profile,
    )
    project.ledger.append(model, recorded={"imported_from": str(folder)})
    project.ledger.append(release)
    return model, release


def check_adapter(project: Project) -> None:
    """NotFoundError for a release.adapter that is not in the artefact store."""
    if adapter := project.settings.release.adapter:
        try:
            project.artifacts.path(adapter)
        except NotFoundError as error:
            raise NotFoundError(
                f"release.adapter {adapter} is no adapter here", cure="take it in: flyball import ADAPTER"
            ) from error
