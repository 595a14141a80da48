"""Any OpenAI-compatible server elsewhere: nothing is started or loaded here. Pure.

It can be held to no grammar: the labels of a classification are named to it, and evaluation counts any other answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from flyball.addresses import normal
from flyball.engines.config import ServerConfig
from flyball.engines.kind import Asked, EngineKind, Fields, Server
from flyball.errors import InputError
from flyball.records import JSON, EngineSettings, Release


class OpenAIConfig(ServerConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="openai"):
    """Any server that speaks OpenAI's API."""


class OpenAISettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a release holds of it; how it is reached, its key and its prices decide no answer (serving/terms.py)."""

    url: str
    exact: bool = False
    model: str | None = None


class OpenAI(EngineKind):
    """Somebody else's server."""

    name = "openai"
    config = OpenAIConfig
    runs = "elsewhere"
    loads = ""

    def stored(self, config: OpenAIConfig) -> dict[str, JSON]:
        """Its address and the model's name there."""
        url, exact = normal(config.url)
        if not exact and config.url.rstrip("/").removesuffix("/v1") == url:
            url = config.url  # as it always was, so that the release keeps its name
        found: dict[str, JSON] = msgspec.to_builtins(OpenAISettings(url=url, exact=exact, model=config.model or None))
        return found

    def knows_tools(self, config: OpenAIConfig, chat_template: str) -> bool:
        """It knows the whole API."""
        return True

    def server(self, engine: EngineSettings) -> Server:
        """Where it is; InputError for a release that does not say."""
        try:
            found = msgspec.convert(engine.flags, OpenAISettings)
        except msgspec.ValidationError as error:
            raise InputError(
                f"a release with engine kind {self.name} names no url: {error}",
                cure='set engine.flags to {"url": "http://…"}',
            ) from error
        url = found.url if found.exact else found.url.rstrip("/").removesuffix("/v1")
        return Server(url=url, exact=found.exact, model=found.model)

    def asked(self, release: Release) -> Asked:
        """The model's name there."""
        model, asked = release.engine.flags.get("model"), super().asked(release)
        return replace(asked, fields={"model": model, **asked.fields}) if isinstance(model, str) else asked

    def warm_up(self, release: Release) -> tuple[Sequence[Fields], Sequence[Fields]]:
        """One short question, unless the server may refuse such a limit."""
        return ({"max_tokens": 1} if "max_tokens" in release.sampling else {},), ()


KIND = OpenAI()
