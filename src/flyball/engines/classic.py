"""Classic model servers: what those that serve a classifier by a protocol of their own have in common. Pure.

A small process of ours (serving/classic_server.py) stands before such a server: it answers chat completions and asks
the server in its own protocol, so that evaluation, gate, rollout and gateway need to know no other. A protocol is a
file of this package: it says which calls are made and reads what comes back.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from flyball.addresses import ReachConfig, normal
from flyball.engines.config import SHARED, ServerConfig
from flyball.engines.kind import PORT, Asked, EngineKind, ModelFiles, Need, Server, Signs, Start
from flyball.engines.label import Label
from flyball.errors import InputError, UpstreamError
from flyball.records import JSON, EngineSettings, Release

PROCESS_BYTES = 60_000_000
"""What the process before the server holds."""
_NOT_STORED = ("api_key", *SHARED, *(field.name for field in msgspec.structs.fields(ReachConfig)))


class ClassicConfig(ServerConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """A classifier on a classic model server."""

    url: Annotated[str, Meta(description="Where the server answers, such as http://127.0.0.1:8000.")]
    model: Annotated[str, Meta(min_length=1, description="The model's name there.")]
    version: Annotated[
        str | None, Meta(description="Its version there; null: whichever the server chooses, so the answer may change.")
    ] = None
    labels: Annotated[
        tuple[str, ...], Meta(description="The labels in the order of the model's scores, where it gives no names.")
    ] = ()
    logits: Annotated[bool, Meta(description="The model's scores are logits, not probabilities.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to the server; `management`: to the address and with the key for that."""

    method: str
    path: str
    body: bytes | None = None
    content_type: str = "application/json"
    management: bool = False
    there: tuple[int, ...] = ()  # statuses that say that it was done before


class ClassicKind(EngineKind):
    """A protocol of model servers. `config` below are the settings, `known` what `described` said of the model."""

    config: type[ClassicConfig]
    loads = ""
    program = (sys.executable, "-m", "flyball.serving.classic_server")
    unloads_all_versions: bool = False
    """Whether what unloads a model takes away each of its versions."""
    signs = Signs(ready="/health", alive="/alive", running=("classic:requests_running",))

    def ready(self, config: Any) -> Call:
        """Asks whether the model can be used; 200 alone may not mean that (see `unready`)."""
        raise NotImplementedError

    def unready(self, config: Any, body: bytes) -> str:
        """Why the model cannot be used, by the body of a 200; empty where it can."""
        return ""

    def description(self, config: Any) -> Call | None:
        """Asks what the model takes and gives; None where nothing has to be known."""
        return None

    def described(self, config: Any, body: bytes) -> Mapping[str, Any]:
        """What has to be known to ask it; UpstreamError where it cannot be asked as the settings say."""
        return {}

    def question(self, config: Any, known: Mapping[str, Any], text: str) -> Call:
        """Asks for the label of a text."""
        raise NotImplementedError

    def answer(self, config: Any, body: bytes) -> Label:
        """The label in what came back; UpstreamError where there is none."""
        raise NotImplementedError

    def loading(self, config: Any) -> Sequence[Call]:
        """What makes the server load the model; none where it loads it by itself."""
        return ()

    def unloading(self, config: Any) -> Sequence[Call]:
        """What makes the server let go of the model; none where it cannot be told to."""
        return ()

    def management_url(self, config: Any) -> str:
        """Where the calls of management go."""
        return str(config.url)

    def key(self, secret: str, *, management: bool) -> str:
        """The key in what the reference `api_key` names."""
        return secret

    def stored(self, config: ClassicConfig) -> dict[str, JSON]:
        """All that says which model answers and how; not how it is reached."""
        own = (field for field in msgspec.structs.fields(config) if field.name not in _NOT_STORED)
        said = {
            field.name: getattr(config, field.name) for field in own if getattr(config, field.name) != field.default
        }
        found: dict[str, JSON] = msgspec.json.decode(msgspec.json.encode(said))
        return found

    def settings(self, flags: Mapping[str, JSON]) -> Any:
        """The settings in a release's flags; InputError where they are none."""
        try:
            return msgspec.convert({"kind": self.name, **flags}, self.config)
        except msgspec.ValidationError as error:
            raise InputError(
                f"a release with engine kind {self.name} has settings that are none: {error}",
                cure="build it again: flyball run",
            ) from error

    def settings_of(self, engine: EngineSettings) -> Any:
        """The settings of a release's engine; InputError where they are none."""
        return self.settings(engine.flags)

    def unloads_too(self, engine: EngineSettings, other: EngineSettings) -> bool:
        """Whether unloading the model of one engine takes away that of the other."""
        names = ("url", "model") if self.unloads_all_versions else ("url", "model", "version")
        same = all(engine.flags.get(name) == other.flags.get(name) for name in names)
        return same and engine.kind == other.kind

    def server(self, engine: EngineSettings) -> Server:
        """Where the server behind our process is."""
        config = self.settings_of(engine)
        url, exact = normal(config.url)
        return Server(url=url, exact=exact, model=config.model)

    def asked(self, release: Release) -> Asked:
        """Nothing: the model gives one of its labels, whatever it is asked."""
        return Asked()

    def started(self, release: Release, *, model: Path, adapter: Path | None, program: Sequence[str]) -> Start:
        """The kind with its settings, a port, and how many are asked at once."""
        told = msgspec.json.encode({"kind": self.name, **release.engine.flags}).decode()
        return Start(command=(*program, told, PORT, str(release.engine.slots)))

    def need(self, engine: EngineSettings, files: ModelFiles, *, on_gpu: bool) -> Need:
        """Our process alone: the model is in the server's memory."""
        return Need(own=PROCESS_BYTES)


def document(body: bytes, protocol: str) -> Mapping[str, Any]:
    """The JSON object that a server answered; UpstreamError for anything else."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise unexpected(body, protocol)
    return found


def unexpected(body: bytes, protocol: str) -> UpstreamError:
    """The error for an answer in another form than the protocol's."""
    return UpstreamError(
        f"the server's answer is none of {protocol}: {body[:200].decode('utf-8', 'replace')}",
        cure="check release.engine.kind and the server's version",
    )
