"""Asks a classic model server: brings the model in, looks whether it is ready, labels texts. I/O: HTTP, secrets.

Every call has a time limit, those of management too: Triton's load, for one, may never answer where its model's
process dies. That a server calls a model ready is not believed until it has labelled a text.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from flyball.addresses import shown
from flyball.engines.classic import Call, ClassicKind
from flyball.engines.label import Label
from flyball.errors import FlyballError, InputError, NotFoundError, UpstreamError
from flyball.inference.http_client import ServerAccess, ServerClient, root_client

ASK_S: Final = 30.0
LOOK_S: Final = 1.2
"""Less than a look at an engine takes (liveness.py)."""
MANAGE_S: Final = 120.0
READY_TEXT: Final = "Are you ready?"
_TEXT_REFUSED = (400, 413, 422)


class ClassicClient:
    """One model of one server; threads may share it. `way`: how it is reached."""

    def __init__(self, kind: ClassicKind, settings: Any, way: ServerAccess) -> None:
        self.kind, self.settings, self._way = kind, settings, way
        self._clients: dict[tuple[bool, float], tuple[str, ServerClient]] = {}
        self._making = threading.Lock()
        self._known: Mapping[str, Any] | None = None
        self.failing = False  # whether the server gave no label for the last text

    def label(self, text: str, *, timeout_s: float = ASK_S) -> Label:
        """The label of a text; InputError for one that the server refuses, UpstreamError when it gives none."""
        try:
            found = self._label(text, timeout_s)
        except UpstreamError:
            self.failing = True
            raise
        self.failing = False
        return found

    def _label(self, text: str, timeout_s: float) -> Label:
        if self._known is None:
            self._known = self._describe()
        status, body = self._ask(self.kind.question(self.settings, self._known, text), timeout_s)
        if status == 200:
            return self.kind.answer(self.settings, body)
        if status in _TEXT_REFUSED:
            raise InputError(f"{self._place} refuses the text ({status}): {_words(body)}", cure="send another text")
        self._known = None  # whatever it was, the model may be another one by now
        raise self._answered(status, body)

    def unready(self, *, timeout_s: float = ASK_S) -> str:
        """Why the model cannot be used now, by the server's own word; empty where it can."""
        try:
            status, body = self._ask(self.kind.ready(self.settings), timeout_s)
        except FlyballError as error:
            return error.message
        return self.kind.unready(self.settings, body) if status == 200 else self._answered(status, body).message

    def bring_in(self, *, again: bool = False) -> None:
        """Where the settings ask for it, have the server load a model that is not ready, or `again`; UpstreamError."""
        if again or self.unready():
            self._manage(self.kind.loading(self.settings))

    def let_go(self) -> None:
        """Have the server let go of the model; UpstreamError, also where it cannot be told to."""
        calls = self.kind.unloading(self.settings)
        if not calls:
            raise UpstreamError(
                f"a server of kind {self.kind.name} cannot be told to let go of a model",
                cure="change what it is configured to load",
            )
        self._manage(calls)

    def require_label(self, *, timeout_s: float = ASK_S) -> Label:
        """The label of a first text, which tells whether the model and the settings fit; UpstreamError."""
        try:
            return self.label(READY_TEXT, timeout_s=timeout_s)
        except InputError as error:
            raise UpstreamError(error.message, cure="check release.engine against the model") from error

    @property
    def _place(self) -> str:
        return shown(str(self.settings.url))

    def _manage(self, calls: Any) -> None:
        for call in calls:
            status, body = self._ask(call, MANAGE_S)
            if not 200 <= status < 300 and status not in call.there:
                raise self._answered(status, body)

    def _describe(self) -> Mapping[str, Any]:
        call = self.kind.description(self.settings)
        if call is None:
            return {}
        status, body = self._ask(call, ASK_S)
        if status != 200:
            raise self._answered(status, body)
        return self.kind.described(self.settings, body)

    def _answered(self, status: int, body: bytes) -> UpstreamError:
        if status in (401, 403):
            cure = "check release.engine.api_key"
        else:
            cure = "check the model's name and version, and look at the server's log"
        return UpstreamError(
            f"{self._place} answered {status} for model {self.settings.model}: {_words(body)}", cure=cure, status=status
        )

    def _ask(self, call: Call, timeout_s: float) -> tuple[int, bytes]:
        place, client = shown(self._url(call.management)), self._client(call.management, timeout_s)
        try:
            return client.ask(call.method, call.path, call.body, content_type=call.content_type)
        except TimeoutError as error:
            raise UpstreamError(
                f"{place} did not answer {call.method} {call.path} within {timeout_s:g} s",
                cure="look at the server's log",
                status=504,
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise UpstreamError(
                f"{place} does not answer: {error}", cure="start that server, or fix its address in release.engine"
            ) from error

    def _url(self, management: bool) -> str:
        return self.kind.management_url(self.settings) if management else str(self.settings.url)

    def _client(self, management: bool, timeout_s: float) -> ServerClient:
        """A client with today's key: files of keys are read anew, since some servers change theirs every hour."""
        key = self._key(management)
        with self._making:
            held = self._clients.get((management, timeout_s))
            if held is not None and held[0] == key:
                return held[1]
            way = replace(self._way, secrets=lambda name: key if name == self._way.api_key else self._secret(name))
            try:
                client = root_client(self._url(management), way, timeout_s=timeout_s)
            except InputError as error:  # of the settings, not of whoever asks
                raise UpstreamError(f"{self._place} cannot be asked: {error.message}", cure=error.cure) from error
            self._clients[management, timeout_s] = (key, client)
            return client

    def _key(self, management: bool) -> str:
        if not self._way.api_key:
            return ""
        try:
            return self.kind.key(self._secret(self._way.api_key), management=management)
        except (InputError, NotFoundError, OSError) as error:
            words = error.message if isinstance(error, FlyballError) else str(error)
            raise UpstreamError(f"the key of {self._place} cannot be had: {words}", cure="check api_key") from error

    def _secret(self, reference: str) -> str:
        return self._way.secrets(reference) if self._way.secrets else reference


def _words(body: bytes) -> str:
    """What a server says of its refusal, on one line."""
    with suppress(UnicodeDecodeError):
        return " ".join(body[:300].decode("utf-8").split()) or "no reason given"
    return f"{len(body)} bytes that are no text"
