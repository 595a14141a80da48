"""flyball.yaml as typed settings, and where the environment is read. I/O: reads files and environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
import yaml
from msgspec import Meta

from flyball.addresses import environment_proxy
from flyball.config_errors import explain
from flyball.cost.config import CostConfig
from flyball.data.config import DataConfig
from flyball.engines.catalog import DEFAULT, KINDS, LINEAR, SERVER
from flyball.engines.config import ServerConfig
from flyball.errors import ConfigError, NotFoundError
from flyball.evaluation.config import EvaluateConfig, known_measures, suite_kind
from flyball.evaluation.suite_names import suite_name
from flyball.gateway.config import GatewayConfig
from flyball.improvement.config import ImproveConfig
from flyball.monitoring.config import MonitorConfig, ObjectivesConfig
from flyball.monitoring.notices.config import Channel, NoticesConfig
from flyball.monitoring.traces.config import TracesConfig
from flyball.records.yaml_documents import load_yaml
from flyball.references import expand as expand
from flyball.references import filled
from flyball.references import secret as secret
from flyball.registry.config import PackageConfig, ReleaseConfig
from flyball.rollout.config import GateConfig, RolloutConfig, rule_problem
from flyball.security.config import SecurityConfig
from flyball.serving.config import ServingConfig
from flyball.storage.config import LedgerConfig
from flyball.telemetry import SECONDS
from flyball.training.config import TrainConfig
from flyball.training.search_config import SearchConfig

FILE = "flyball.yaml"
SCHEMA_VERSION = 1
_OBJECT = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}(?:\.dir)?$")
"""An object in DVC's cache."""
Kind = TypeVar("Kind", bound=msgspec.Struct)


class ConsoleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The web pages."""

    port: Annotated[int, Meta(ge=0, le=65535, description="Port of the console on 127.0.0.1; 0: any free one.")] = 8400


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole loop of one project."""

    version: Annotated[Literal[1], Meta(description="Version of this file's format.")]
    project: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$",
            description="Name of the project, and of its default route: the `model` that clients ask for.",
        ),
    ]
    task: Annotated[
        Literal["classification", "chat"],
        Meta(description="classification: the answer is one of a set of labels; chat: any text."),
    ] = "classification"
    data: DataConfig
    train: TrainConfig = msgspec.field(default_factory=TrainConfig)
    search: SearchConfig = msgspec.field(default_factory=SearchConfig)
    package: PackageConfig = msgspec.field(default_factory=PackageConfig)
    release: ReleaseConfig = msgspec.field(default_factory=ReleaseConfig)
    evaluate: EvaluateConfig = msgspec.field(default_factory=EvaluateConfig)
    gate: GateConfig = msgspec.field(default_factory=GateConfig)
    rollout: RolloutConfig = msgspec.field(default_factory=RolloutConfig)
    serving: ServingConfig = msgspec.field(default_factory=ServingConfig)
    gateway: GatewayConfig = msgspec.field(default_factory=GatewayConfig)
    console: ConsoleConfig = msgspec.field(default_factory=ConsoleConfig)
    monitor: MonitorConfig = msgspec.field(default_factory=MonitorConfig)
    objectives: ObjectivesConfig = msgspec.field(default_factory=ObjectivesConfig)
    notices: NoticesConfig = msgspec.field(default_factory=NoticesConfig)
    traces: TracesConfig = msgspec.field(default_factory=TracesConfig)
    improve: ImproveConfig = msgspec.field(default_factory=ImproveConfig)
    cost: CostConfig = msgspec.field(default_factory=CostConfig)
    security: SecurityConfig = msgspec.field(default_factory=SecurityConfig)
    ledger: LedgerConfig = msgspec.field(default_factory=LedgerConfig)


def find_root(start: Path) -> Path:
    """The nearest folder at or above `start` with a flyball.yaml."""
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder
    raise NotFoundError(
        f"no {FILE} in {start} or above it", cure="run `flyball init DIR`, or change into a project's folder"
    )


def load_settings(root: Path) -> Settings:
    """The settings in `root`'s flyball.yaml; ConfigError names the key, the value and the nearest known key."""
    path = root / FILE
    return parse_settings(read_yaml(path), source=str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values in a YAML file; ConfigError when it is something else."""
    try:
        document = load_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error}", cure="save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}", cure="fix the line that it names") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply", cure="see `flyball schema` for its shape") from error
    if not isinstance(document, dict):
        what = "is empty" if document is None else f"holds a {type(document).__name__}, not keys and values"
        raise ConfigError(f"{path} {what}", cure="see `flyball init --help` for a first one")
    return document


def parse_settings(document: Mapping[str, Any], *, source: str = FILE) -> Settings:
    """Settings from plain YAML data."""
    settings = parse(with_kind(document), Settings, source=source)
    for problem, cure in contradictions(settings):
        raise ConfigError(f"{source}: {problem}", cure=cure)
    return settings


def with_kind(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document with the kind of engine that is meant where it names none."""
    release = document.get("release")
    engine = release.get("engine") if isinstance(release, dict) else None
    if not isinstance(release, dict) or not isinstance(engine, dict) or "kind" in engine:
        return document
    return {**document, "release": {**release, "engine": {"kind": DEFAULT.name, **engine}}}


def parse(document: Mapping[str, Any], kind: type[Kind], *, source: str) -> Kind:
    """The document as a configuration of this kind."""
    try:
        return msgspec.convert(document, kind, strict=True)
    except msgspec.ValidationError as error:
        raise explain(error, source, kind, document) from error


def contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Values that are allowed each, but not together: (what is wrong, the cure)."""
    data, train, size = settings.data, settings.train, settings.train.size
    held_out = data.split.validation + data.split.test
    if held_out > 1 or (held_out == 1 and train.method != "none"):
        yield f"data.split holds out {held_out:g} of the rows, so that none is left to train on", "lower its shares"
    for name in {source.format for source in data.sources if source.format is not None}:
        from flyball.data.readers.catalog import FORMATS  # only where a source names its format

        if name not in FORMATS:
            yield f"data.sources[].format is {name!r}", f"use one of {', '.join(FORMATS)}, or leave it out"
    for key, objective in settings.objectives.times.items():
        if objective.seconds not in SECONDS:
            yield (
                f"objectives.{key}.seconds is {objective.seconds:g}, which no bucket of the histograms ends at",
                f"use one of {', '.join(f'{bound:g}' for bound in SECONDS)}",
            )
    if train.method in ("finetune", "lora") and not train.base:
        yield (
            f"train.method is {train.method}, but train.base is missing",
            "set train.base to a Hugging Face model folder",
        )
    elsewhere = isinstance(settings.release.engine, ServerConfig)
    if train.method == "none" and bool(train.base) == elsewhere:
        have = "there are both" if elsewhere else "there is neither"
        yield (
            f"train.method is none, which takes train.base or release.engine.kind {SERVER.name}, and {have}",
            "set train.base to a model folder or GGUF file, or release.engine to a server's kind, url and model",
        )
    if (train.method == "linear") != (settings.release.engine.kind == LINEAR.name):
        yield (
            f"train.method is {train.method}, release.engine.kind is {settings.release.engine.kind}",
            f"set train.method: linear and release.engine.kind: {LINEAR.name}, or neither",
        )
    if train.method == "linear" and settings.task != "classification":
        yield f"train.method is linear, task is {settings.task}", "set task: classification, or another method"
    if train.objective != "supervised":
        if train.method not in ("scratch", "finetune", "lora"):
            yield f"train.objective is {train.objective}, train.method is {train.method}", "leave train.objective out"
        if train.objective == "dpo" and train.method == "scratch":
            yield (
                "train.objective is dpo, train.method is scratch",
                "set train.method: lora or finetune, and train.base",
            )
        if train.objective in ("text", "dpo") and settings.task != "chat":
            yield f"train.objective is {train.objective}, task is {settings.task}", "set task: chat"
        if train.objective == "dpo" and not any(source.fields.rejected for source in data.sources):
            yield (
                "train.objective is dpo, and no source has rejected answers",
                "name their column in data.sources[].fields.rejected, or set train.objective: supervised",
            )
    if (train.objective == "distillation") != bool(train.teacher):
        have = f"train.teacher is {train.teacher}" if train.teacher else "train.teacher is missing"
        yield (
            f"train.objective is {train.objective}, {have}",
            "set train.objective: distillation and train.teacher to a model, or neither",
        )
    if train.method == "command" and not train.command:
        yield "train.method is command, but train.command is missing", "set train.command to what trains"
    if size.hidden % size.heads or size.heads % size.kv_heads:
        yield (
            f"train.size: {size.hidden} hidden, {size.heads} heads and {size.kv_heads} kv_heads do not fit",
            "make hidden a multiple of heads, and heads one of kv_heads",
        )
    if "validation" in settings.evaluate.suites:
        yield (
            "evaluate.suites names validation, whose rows choose recipes, so that a gate on them proves nothing",
            "name test; `flyball search` ranks by validation rows of itself",
        )
    labelled = settings.task == "classification"
    kinds = {suite_name(name): suite_kind(name) for name in settings.evaluate.suites}
    known = {
        name: (*known_measures(kind, classification=labelled), *known_measures(kind, classification=not labelled))
        for name, kind in kinds.items()
    }
    startable = [kind.name for kind in KINDS if kind.runs == "beside"]
    for name in settings.serving.commands.keys() - set(startable):
        yield f"serving.commands names {name}, which no command starts", f"give one of {', '.join(startable)}"
    yield from filter(None, (rule_problem(rule, known) for rule in settings.gate.rules))
    steps = settings.rollout.canary_steps
    if any(not 0 < share < 1 for share in steps) or list(steps) != sorted(set(steps)):
        yield f"rollout.canary_steps are {list(steps)}", "give growing shares between 0 and 1, such as [0.1, 0.5]"


def json_schema() -> dict[str, Any]:
    """JSON Schema of flyball.yaml, for editors."""
    schema = msgspec.json.schema(Settings)
    schema["$defs"][DEFAULT.config.__name__]["required"].remove("kind")  # `parse_settings` fills it in
    for kind in KINDS:
        tag = schema["$defs"][kind.config.__name__]["properties"]["kind"]
        tag["description"] = f"The kind of engine; without it {DEFAULT.name} is meant."
    for channel in get_args(Channel):
        schema["$defs"][channel.__name__]["properties"]["kind"]["description"] = "The kind of channel."
    return schema


def source_path(path: str, root: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Where a source is: a link that DVC made to its cache is the file itself, any other is where it leads to."""
    whole = expand(path, root, environment)
    if not _OBJECT.search(str(whole)) or not whole.exists():
        return whole
    written = root / Path(filled(path, environment)).expanduser()
    return written.parent.resolve() / written.name if written.is_symlink() else whole


def leaves_project(path: str, root: Path, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a path of flyball.yaml leads out of the project; one with a ${VARIABLE} is this machine's own choice."""
    return "${" not in path and not source_path(path, root, environment).is_relative_to(root.resolve())


def proxy_for(url: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY mean for a URL."""
    return environment_proxy(url, environment)
