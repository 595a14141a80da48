"""flyball.yaml as typed settings; the only reader of the environment. I/O: reads files and environment variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
import yaml
from msgspec import Meta

from flyball.cost.config import CostConfig
from flyball.data.config import DataConfig
from flyball.errors import ConfigError, InputError, NotFoundError, nearest
from flyball.evaluation.config import EvaluateConfig
from flyball.gateway.config import GatewayConfig
from flyball.improvement.config import ImproveConfig
from flyball.monitoring.config import MonitorConfig
from flyball.registry.config import PackageConfig, ReleaseConfig
from flyball.rollout.config import GateConfig, RolloutConfig
from flyball.security.config import SecurityConfig
from flyball.serving.config import ServingConfig
from flyball.storage.config import LedgerConfig
from flyball.training.config import TrainConfig

FILE = "flyball.yaml"
SCHEMA_VERSION = 1


class ConsoleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The web pages."""

    port: Annotated[int, Meta(ge=0, le=65535)] = 8400


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole loop of one project."""

    version: Annotated[Literal[1], Meta(description="Of this file's format.")]
    project: Annotated[
        str,
        Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$", description="Also the default route: the `model` clients name."),
    ]
    task: Annotated[
        Literal["classification", "chat"], Meta(description="classification: the answer is one of a set of labels.")
    ] = "classification"
    data: DataConfig
    train: TrainConfig = msgspec.field(default_factory=TrainConfig)
    package: PackageConfig = msgspec.field(default_factory=PackageConfig)
    release: ReleaseConfig = msgspec.field(default_factory=ReleaseConfig)
    evaluate: EvaluateConfig = msgspec.field(default_factory=EvaluateConfig)
    gate: GateConfig = msgspec.field(default_factory=GateConfig)
    rollout: RolloutConfig = msgspec.field(default_factory=RolloutConfig)
    serving: ServingConfig = msgspec.field(default_factory=ServingConfig)
    gateway: GatewayConfig = msgspec.field(default_factory=GatewayConfig)
    console: ConsoleConfig = msgspec.field(default_factory=ConsoleConfig)
    monitor: MonitorConfig = msgspec.field(default_factory=MonitorConfig)
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
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error}", cure="save it as UTF-8") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}", cure="mend the line that it names") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{path} holds no settings", cure="see `flyball init --help` for a first one")
    return parse_settings(document, source=str(path))


def parse_settings(document: Mapping[str, Any], *, source: str = FILE) -> Settings:
    """Settings from plain YAML data."""
    try:
        return msgspec.convert(document, Settings, strict=True)
    except msgspec.ValidationError as error:
        raise explain(error, source) from error


def explain(error: msgspec.ValidationError, source: str) -> ConfigError:
    """A msgspec error as a message that names the key and, for an unknown one, the nearest known key."""
    text = str(error)
    found = re.match(r"Object contains unknown field `(?P<key>[^`]+)`(?: - at `\$\.?(?P<where>[^`]*)`)?", text)
    if not found:
        missing = re.match(r"Object missing required field `(?P<key>[^`]+)`(?: - at `\$\.?(?P<where>[^`]*)`)?", text)
        if missing:
            where = ".".join(part for part in (missing["where"], missing["key"]) if part)
            return ConfigError(f"{source}: the key {where} is missing", cure=f"add {where}: …; see `flyball schema`")
        return ConfigError(f"{source}: {text.replace('$.', '')}", cure="see `flyball schema` for every key")
    where, key = found["where"] or "", found["key"]
    known = sorted(keys_at(where))
    close = nearest(key, known)
    hint = f"did you mean {close}?" if close else f"known keys here: {', '.join(known)}"
    return ConfigError(f"{source}: unknown key {'.'.join(part for part in (where, key) if part)}", cure=hint)


def keys_at(where: str) -> list[str]:
    """The known keys of the section that a path such as `data.sources[...]` names."""
    kind: Any = Settings
    for part in filter(None, re.sub(r"\[[^]]*\]", ".[]", where).split(".")):
        if part == "[]":
            kind = next((arg for arg in get_args(kind) if arg is not Ellipsis), kind)
        else:
            kind = get_type_hints(kind)[part]
        kind = next((arg for arg in get_args(kind) if isinstance(arg, type) and issubclass(arg, msgspec.Struct)), kind)
    return list(kind.__struct_fields__)


def json_schema() -> dict[str, Any]:
    """JSON Schema of flyball.yaml, for editors."""
    return msgspec.json.schema(Settings)


def expand(path: str, root: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """A path of flyball.yaml with ${VARIABLE} filled in, relative to the project's folder."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name not in environment:
            raise InputError(f"{path}: the environment variable {name} is not set", cure=f"export {name}=…")
        return environment[name]

    return (root / Path(re.sub(r"\$\{(\w+)\}", fill, path)).expanduser()).resolve()


def secret(reference: str, root: Path, environment: Mapping[str, str] = os.environ) -> str:
    """The secret that `env:NAME` or `file:PATH` names; files must have mode 0600."""
    kind, _, name = reference.partition(":")
    if kind == "env":
        if name not in environment:
            raise InputError(f"the environment variable {name} is not set", cure=f"export {name}=…")
        return environment[name]
    if kind == "file":
        path = expand(name, root, environment)
        if not path.is_file():
            raise NotFoundError(f"no secret file {path}", cure="run `flyball init`, or copy it from a colleague")
        if path.stat().st_mode & 0o077:
            raise InputError(f"{path} can be read by others", cure=f"chmod 600 {path}")
        return path.read_text(encoding="utf-8").strip()
    raise InputError(f"{reference!r} is not a secret reference", cure="use env:NAME or file:PATH")
