"""Take a model that exists in as a model version and compose a release of it. I/O: reads it, artefacts, ledger.

A model is a Hugging Face folder, a GGUF file, or the URL of a server elsewhere. Nothing is trained, and the lineage
says so: its version has neither run nor dataset.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from flyball.addresses import Reach, reach_of
from flyball.engines.catalog import DEFAULT, SERVER, kind_named
from flyball.engines.classic import ClassicConfig, ClassicKind
from flyball.engines.config import SHARED, EngineConfig, ServerConfig
from flyball.errors import ConfigError, InputError, NotFoundError, UpstreamError
from flyball.inference.model_list import ServedModel, is_url, served_model
from flyball.records import JSON, ModelVersion, Release, name_of
from flyball.registry.adapters import import_adapter
from flyball.registry.config import ReleaseConfig
from flyball.registry.gguf.model import import_gguf
from flyball.registry.model_import import import_model
from flyball.registry.packaging import GGUF
from flyball.registry.release_composition import compose
from flyball.registry.remote_model import model_elsewhere
from flyball.serving.terms import recorded_terms
from flyball.settings import expand
from flyball.telemetry import Progress, quiet
from flyball.wiring import Project
from flyball.workflows.probability_check import agreement, unchecked
from flyball.workflows.release_preparation import preparation_for


def take_adapter(project: Project, path: Path, *, base: str | None = None) -> ModelVersion:
    """A LoRA adapter, in the ledger and the artefact store; a release names it as `release.adapter`.

    `base`: the model that it was trained on, by its name here or its path; else the one that it or the project names.
    """
    out = project.places.state / "partial" / f"import-{path.name}"
    shutil.rmtree(out, ignore_errors=True)
    try:
        adapter = import_adapter(
            path,
            project=project.name,
            out=out,
            engine=kind_named(project.settings.release.engine.kind),
            base=lambda named: base_folder(project, base, named),
        )
        project.artifacts.put(name_of(adapter), out, adapter.files)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    project.ledger.append(adapter, recorded={"imported_from": str(path)})
    return adapter


def base_folder(project: Project, given: str | None, named: str) -> Path:
    """Where an adapter's base model is: as given, as the adapter says, or as the project has it."""
    if given:
        path = Path(given).expanduser()
        return path if path.exists() else project.artifacts.path(project.ledger.get(given).id)
    own = project.settings.train.base
    for path in (Path(named), *([expand(own, project.root)] if own else []), project.places.model):
        if named and path.exists() and (path.is_file() or (path / "config.json").is_file() or (path / GGUF).is_file()):
            return path
    raise InputError(
        f"the adapter's base model {named or '(not named)'} is not here, and without it there is no conversion",
        cure="flyball import ADAPTER --base MODEL: its name from `flyball models`, or its path",
    )


def take_model(
    project: Project,
    source: str,
    *,
    labels: Callable[[], Sequence[str]],
    model_name: str | None = None,
    api_key: str | None = None,
    progress: Progress = quiet,
) -> tuple[ModelVersion, Release]:
    """The model version and a release of it, both in the ledger, the files in the artefact store.

    `labels` gives those of the project's rows, where the task is classification.
    """
    settings = project.settings
    engine = engine_for(settings.release.engine, source, model_name=model_name, api_key=api_key)
    out = project.places.state / "partial" / "import"
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        taken = read_model(project, source, engine=engine, out=out, progress=progress)
        model, engine = taken.model, taken.engine
        project.artifacts.put(name_of(model), out, model.files)
        preparation = preparation_for(settings, model=model, model_dir=out, dataset=None)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    check_adapter(project)
    release = compose(
        msgspec.structs.replace(settings.release, engine=engine),
        project=project.name,
        task=settings.task,
        model=model,
        labels=labels() if settings.task == "classification" else (),
        redaction=settings.data.redact.name,
        preparation=preparation,
    )
    project.ledger.append(model, recorded={"imported_from": source, "agreement": taken.agreement})
    project.ledger.append(release, recorded=recorded_terms(engine))
    return model, release


def engine_for(engine: EngineConfig, source: str, *, model_name: str | None, api_key: str | None) -> EngineConfig:
    """The project's engine as this model needs it: a server elsewhere by its URL, files by an engine of ours."""
    if not is_url(source):
        if model_name or api_key:
            raise InputError("--model-name and --api-key belong to a URL", cure="leave them out")
        return DEFAULT.config(**_shared(engine)) if isinstance(engine, ServerConfig) else engine
    if not isinstance(engine, ServerConfig):
        return SERVER.config(url=source, model=model_name, api_key=api_key, **_shared(engine))
    return msgspec.structs.replace(
        engine, url=source, model=model_name or engine.model, api_key=api_key or engine.api_key
    )


def _shared(engine: EngineConfig) -> dict[str, Any]:
    return {name: getattr(engine, name) for name in SHARED}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedModel:
    """A model as it was found, the engine with what only its own server could say, and whether its numbers are kept."""

    model: ModelVersion
    engine: EngineConfig
    agreement: JSON


def read_model(project: Project, source: str, *, engine: EngineConfig, out: Path, progress: Progress) -> ImportedModel:
    """The model with its files in `out`; what was converted is compared with transformers (probability_check.py)."""
    if isinstance(engine, ServerConfig):
        out.mkdir(parents=True, exist_ok=True)
        reach = reach_of(engine, source="release.engine")
        if isinstance(engine, ClassicConfig):
            served = classic_model(project, engine, reach)
            known: EngineConfig = engine
        else:
            served = served_model(source, name=engine.model, way=project.way(engine.api_key, reach))
            known = msgspec.structs.replace(engine, model=served.name)
        unseen = unchecked("its weights are at a server elsewhere")
        return ImportedModel(model=model_elsewhere(served, project=project.name), engine=known, agreement=unseen)
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix in (".safetensors", ".bin", ".pt", ".pth"):
            raise InputError(f"{source} is one file of a model", cure=f"give its folder: {path.parent}")
        as_it_is = unchecked("a GGUF file is loaded as it is")
        return ImportedModel(model=import_gguf(path, project=project.name, out=out), engine=engine, agreement=as_it_is)
    if not path.is_dir():
        raise InputError(
            f"{source} is neither a folder nor a file",
            cure="give a Hugging Face model folder with safetensors, a GGUF file, or a server's URL",
        )
    model = import_model(path, config=project.settings.package, project=project.name, out=out)
    return ImportedModel(model=model, engine=engine, agreement=agreement(path, out, model, progress))


def classic_model(project: Project, engine: ClassicConfig, reach: Reach | None) -> ServedModel:
    """A classifier on a classic model server, once it has labelled a text; UpstreamError where it does not."""
    from flyball.serving.classic_client import ClassicClient

    kind = kind_named(engine.kind)
    assert isinstance(kind, ClassicKind)
    client = ClassicClient(kind, engine, project.way(engine.api_key, reach))
    client.bring_in()
    if problem := client.unready():
        raise UpstreamError(problem, cure="load the model on that server, or set release.engine.load")
    client.require_label()
    return ServedModel(name=f"{engine.model}:{engine.version}" if engine.version else engine.model, context=0)


def model_source(project: Project) -> str:
    """Where the model of a project that trains nothing is: the path of `train.base`, or its server's URL."""
    settings = project.settings
    engine = settings.release.engine
    if settings.train.base:
        return str(expand(settings.train.base, project.root))
    return engine.url if isinstance(engine, ServerConfig) else ""


def release_of(config: ReleaseConfig, model: ModelVersion) -> ReleaseConfig:
    """The release's settings with the name by which a server elsewhere knows the model."""
    engine = config.engine
    if not isinstance(engine, ServerConfig) or engine.model or model.files:
        return config
    return msgspec.structs.replace(config, engine=msgspec.structs.replace(engine, model=model.architecture))


def check_adapter(project: Project) -> None:
    """NotFoundError for a release.adapter that is not in the artefact store, ConfigError for one of another engine."""
    adapter, kind = project.settings.release.adapter, project.settings.release.engine.kind
    if not adapter:
        return
    try:
        project.artifacts.path(adapter)
    except NotFoundError as error:
        raise NotFoundError(
            f"release.adapter {adapter} is not an adapter here", cure="take it in: flyball import ADAPTER"
        ) from error
    try:
        record = project.ledger.get(adapter).record
    except NotFoundError:
        return  # a clone has the files without the record
    if isinstance(record, ModelVersion) and kind_named(kind).applies not in record.formats:
        raise ConfigError(
            f"release.adapter is {', '.join(record.formats)}, release.engine.kind is {kind}",
            cure="set the engine's kind, then take the adapter in again: flyball import ADAPTER",
        )
