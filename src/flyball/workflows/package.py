"""Package a model that is here in another form, with its release in that form. I/O: artefacts, ledger.

The release differs in its model alone, so that a gate compares nothing but the form.
"""

from __future__ import annotations

import dataclasses
import shutil
from typing import get_args

from flyball.errors import InputError, NotFoundError
from flyball.records import ModelVersion, Release, name_of
from flyball.records.identity import short
from flyball.registry.config import PackageConfig
from flyball.registry.gguf.quantization import Quantization
from flyball.storage.ledger import Stored
from flyball.wiring import Project
from flyball.workflows.aliases import model_named

FORMS = tuple(f"gguf:{form}" for form in get_args(Quantization))


def package_as(project: Project, name: str, form: str) -> tuple[ModelVersion, Release]:
    """The model in `form` (one of FORMS) and its newest release with that model, both in the ledger.

    InputError for a model that holds no safetensors to start from, or an unknown form.
    """
    from flyball.registry.packaging import package  # numpy and gguf load with it

    if form not in FORMS:
        raise InputError(f"no package has the form {form}", cure=f"use one of {', '.join(FORMS)}")
    stored, model = model_named(project, name)
    if "safetensors" not in model.formats:
        raise InputError(
            f"model {short(stored.id)} is there as {', '.join(model.formats)}, without the weights it was made of",
            cure="import its Hugging Face folder, then package that",
        )
    release = newest_release(project, stored.id)
    folder = project.artifacts.path(stored.id)
    project.artifacts.verify(stored.id, model.files)
    profile = folder / "profile.json"
    out = project.places.state / "partial" / f"package-{short(stored.id)}"
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        made = package(
            folder,
            config=PackageConfig(quantization=form.removeprefix("gguf:")),  # type: ignore[arg-type]
            run=None,
            project=project.name,
            profile=profile if profile.is_file() else None,
            out=out,
        )
        made = dataclasses.replace(made, training_run=model.training_run, dataset=model.dataset)
        project.artifacts.put(name_of(made), out, made.files)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    record = release.record
    assert isinstance(record, Release)
    composed = dataclasses.replace(record, model=name_of(made), artifact=name_of(made))
    project.ledger.append(made, recorded={"packaged_from": stored.id})
    project.ledger.append(composed, recorded=release.recorded)
    return made, composed


def newest_release(project: Project, model: str) -> Stored:
    """The newest release of a model; NotFoundError where it has none."""
    for stored in project.ledger.find(Release, limit=1000):
        if isinstance(stored.record, Release) and stored.record.model == model:
            return stored
    raise NotFoundError(f"model {short(model)} has no release", cure="run `flyball run`, or import the model")
