"""What a kind of engine is: the Protocol that each file of this package fills. Pure.

Its methods' bodies are those of a server of its own that speaks OpenAI's API, started by a command: a kind says only
where it differs, and at least its name, its settings and its program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from flyball.engines.config import EngineConfig, ServerConfig, StartedConfig
from flyball.errors import InputError
from flyball.records import JSON, EngineSettings, Release

PORT = "{port}"
"""Stands in a command for what is known only when it starts."""
Fields = Mapping[str, Any]
"""Of a request's body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """How an engine tells of itself: paths for readiness and life, metric names for load, words for a damaged model."""

    ready: str = "/health"
    alive: str = "/health"
    running: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    cache: tuple[str, ...] = ()  # shares from 0 to 1
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a server elsewhere is; `exact`: the URL is the whole base (addresses.py). `model`: its name there."""

    url: str
    exact: bool = False
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What each request to an engine of a release has: fields that no client sets, and words for the system message."""

    fields: Fields = field(default_factory=dict)
    instruction: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How an engine's process begins: the command of a server of its own (none: the built-in engine)."""

    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None  # tokens of one step, of the built-in engine


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """What the files of a model say of the memory that it takes."""

    size: int = 0
    header: Mapping[str, Any] = field(default_factory=dict)
    adapter_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of each of so many GPUs that an engine takes, whatever the model, and what would make it less."""

    of: float
    gpus: int = 1
    smaller: str = "a smaller share"
    fewer: str = "let it use fewer GPUs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes that one engine holds: weights, which engines of one model share, and the rest, which is its own.

    `gpu`: what it holds of GPUs, where nothing is shared; `share`: what it takes of each GPU instead.
    """

    weights: int = 0
    own: int = 0
    gpu: int = 0
    share: Share | None = None

    def of(self, replicas: int, *, mapped: bool) -> int:
        """Of the machine's memory for all replicas; `mapped`: an engine that runs holds the weights already."""
        return replicas * self.own + (0 if mapped else self.weights)


class EngineKind(Protocol):
    """One kind of engine."""

    name: str
    """As flyball.yaml and releases say it."""
    config: type[StartedConfig] | type[ServerConfig]
    """Its settings in flyball.yaml, tagged with its name."""
    runs: Literal["inside", "beside", "elsewhere"] = "beside"
    """Inside the process that watches over it, as that process's child, or at somebody else's."""
    loads: str = "safetensors"
    """The form of a model that it loads; empty: nothing is loaded here."""
    applies: str = ""
    """The form of adapters that it applies; empty: none."""
    program: tuple[str, ...] = ()
    """How its server starts where `serving.commands` does not say."""
    signs: Signs = Signs()

    def stored(self, config: Any) -> dict[str, JSON]:
        """What a release holds of its own settings; `flags` of the record. What decides no answer is left out."""
        return {}

    def knows_tools(self, config: Any, chat_template: str) -> bool:
        """Whether it reads tools and takes calls of them out of an answer."""
        return False

    def server(self, engine: EngineSettings) -> Server:
        """Where a release's engine is, of a kind that runs elsewhere."""
        raise InputError(f"an engine of kind {self.name} is started here: it has no address before", cure="start it")

    def asked(self, release: Release) -> Asked:
        """What its requests have besides, such as the constraint of a release with labels in this engine's form."""
        return Asked(**named_labels(release)) if release.constraint.kind == "labels" else Asked()

    def started(self, release: Release, *, model: Path, adapter: Path | None, program: Sequence[str]) -> Start:
        """How it starts; `program`: its beginning on this machine. ConfigError for settings that cannot be."""
        raise InputError(f"an engine of kind {self.name} is not started here", cure="start it yourself")

    def need(self, engine: EngineSettings, files: ModelFiles, *, on_gpu: bool) -> Need:
        """About what it will hold of this machine; nothing where that is not known."""
        return Need()

    def warm_up(self, release: Release) -> tuple[Sequence[Fields], Sequence[Fields]]:
        """Fields of the questions that make it ready: the first ones one by one, the others all at once."""
        return ({"max_tokens": 1},), ()


def named_labels(release: Release) -> dict[str, Any]:
    """For an engine that can be held to nothing: it is told the labels, and answers greedily if it takes that."""
    labels = ", ".join(release.constraint.labels)
    greedy = release.request_fields is None or "temperature" in release.sampling  # else the server takes none
    return {
        "fields": {"temperature": 0} if greedy else {},
        "instruction": f"Answer with exactly one of these labels and nothing else: {labels}",
    }


def shared(config: EngineConfig, names: Sequence[str]) -> dict[str, Any]:
    """Settings that another kind has too."""
    return {name: getattr(config, name) for name in names}
