"""Every kind of engine: a new one is a file of this package and a line here. Pure."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, Union

from flyball.engines.config import EngineConfig, ServerConfig
from flyball.engines.kind import EngineKind
from flyball.engines.llama_cpp import KIND as BUILT_IN
from flyball.engines.onnx import KIND as LABELS_ALONE
from flyball.engines.openai import KIND as ANY_SERVER
from flyball.errors import InputError
from flyball.records import Release
from flyball.records.prices import UsdPerMillion, prices_of

FILES: Final = (
    "llama_cpp",
    "vllm",
    "openai",
    "onnx",
    "open_inference",
    "torchserve",
    "tensorflow_serving",
)
KINDS: Final[tuple[EngineKind, ...]] = tuple(import_module(f"{__package__}.{name}").KIND for name in FILES)
DEFAULT: Final = BUILT_IN
"""Where flyball.yaml names no kind, and for files of models."""
SERVER: Final = ANY_SERVER
"""What a URL means."""
LINEAR: Final = LABELS_ALONE
"""Serves what train.method linear makes."""
_BY_NAME: Final = {kind.name: kind for kind in KINDS}
if TYPE_CHECKING:
    AnyEngine = EngineConfig
else:
    AnyEngine = Union[tuple(kind.config for kind in KINDS)]  # noqa: UP007 - the settings of all kinds, told by `kind`


def kind_named(name: str) -> EngineKind:
    """The kind of this name; InputError for one that this version does not know."""
    if name not in _BY_NAME:
        raise InputError(
            f"unknown kind of engine {name!r}", cure=f"use one of {', '.join(_BY_NAME)}, or a newer version of Flyball"
        )
    return _BY_NAME[name]


def kind_of(release: Release) -> EngineKind:
    """The kind of a release's engine."""
    return kind_named(release.engine.kind)


def is_elsewhere(release: Release) -> bool:
    """Whether its engine is somebody else's server: nothing of it is started or loaded here."""
    return kind_of(release).runs == "elsewhere"


def stands_before_server(release: Release) -> bool:
    """Whether its engine is a process of ours that asks somebody else's server in its own protocol."""
    return not is_elsewhere(release) and issubclass(kind_of(release).config, ServerConfig)


def has_own_processes(kind: str) -> bool:
    """Whether an engine is processes beside the one that watches over it; of an unknown kind it may be."""
    return kind not in _BY_NAME or _BY_NAME[kind].runs == "beside"


def says_damaged(text: str) -> bool:
    """Whether an engine says of its model's file what no restart can cure."""
    return any(word in text for kind in KINDS for word in kind.signs.damaged)


def stored_terms(release: Release) -> tuple[str | None, UsdPerMillion | None]:
    """The reference to a key and the prices that releases from before have among their engine's settings."""
    key, prices = (release.engine.flags.get(name) for name in ("api_key", "usd_per_million"))
    return (key if isinstance(key, str) and key else None), prices_of(prices)
