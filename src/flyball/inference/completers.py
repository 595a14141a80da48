"""Completers: ask an engine over HTTP and take its answer apart. I/O: HTTP to the URL given, nothing else."""

from __future__ import annotations

import http.client
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from flyball.errors import InputError, UpstreamError
from flyball.inference.prompt_path import PromptPath
from flyball.records import Release

_NO_BYTE_CAME = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ConnectionAbortedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer: its text, tokens in and out, why it ended, and milliseconds from send to last byte."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    total_ms: float


class HttpCompleter:
    """Asks any OpenAI-compatible server, through the prompt path of `release` (None: bodies pass unchanged).

    Threads may share it: each call borrows a kept-alive connection. A connection that the server dropped before a byte
    came is replaced once.
    """

    def __init__(
        self,
        url: str,
        *,
        release: Release | None = None,
        model: str = "default",
        api_key: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{url!r} is not an HTTP address", cure="give one such as http://127.0.0.1:8080/v1")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._path = parts.path.rstrip("/").removesuffix("/v1") + "/v1/chat/completions"
        self._url, self._model, self._timeout_s = url, model, timeout_s
        self._prompt_path = PromptPath(release) if release else None
        self._headers = {"content-type": "application/json"}
        if api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._idle: deque[http.client.HTTPConnection] = deque()

    def complete(self, body: Mapping[str, Any], *, besides: Mapping[str, Any] | None = None) -> Completion:
        """The engine's answer to a chat body; InputError for a bad body, UpstreamError when the engine fails.

        `besides`: fields of the engine's own that no client may set, such as the slot that answers.
        """
        request = self._prompt_path.engine_request(body).body if self._prompt_path else dict(body)
        request.setdefault("model", self._model)
        request.update(besides or {})
        began = time.perf_counter()
        status, raw = self._send(msgspec.json.encode(request))
        total_ms = (time.perf_counter() - began) * 1000
        if status != 200:
            raise UpstreamError(
                f"{self._url} answered {status}: {raw[:300].decode('utf-8', 'replace')}",
                cure="look at the engine's log",
                status=status,
            )
        return parse_completion(raw, total_ms=total_ms)

    def close(self) -> None:
        """Close the connections that are idle."""
        while self._idle:
            self._idle.pop().close()

    def _send(self, payload: bytes) -> tuple[int, bytes]:
        for attempt in (1, 2):
            connection = self._borrow(fresh=attempt == 2)
            try:
                connection.request("POST", self._path, payload, self._headers)
                response = connection.getresponse()
            except _NO_BYTE_CAME as error:
                connection.close()
                if attempt == 2:
                    raise self._failed(error) from error
                continue
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise self._failed(error) from error
            return response.status, self._read(connection, response)
        raise AssertionError("unreachable")

    def _read(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> bytes:
        try:
            raw = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._failed(error) from error
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return raw

    def _borrow(self, *, fresh: bool) -> http.client.HTTPConnection:
        if not fresh:
            try:
                return self._idle.pop()
            except IndexError:
                pass
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout_s)

    def _failed(self, error: Exception) -> UpstreamError:
        reason = str(error) or type(error).__name__
        return UpstreamError(f"{self._url} does not answer: {reason}", cure="check that the engine runs there")


def parse_completion(raw: bytes, *, total_ms: float) -> Completion:
    """The Completion in a chat completion's JSON; UpstreamError when it is not one."""
    try:
        document = msgspec.json.decode(raw)
        choice = document["choices"][0]
        usage = document.get("usage") or {}
        return Completion(
            text=choice["message"].get("content") or "",
            prompt_tokens=int(usage.get("prompt_tokens", 0)),
            completion_tokens=int(usage.get("completion_tokens", 0)),
            finish_reason=choice.get("finish_reason") or "",
            total_ms=total_ms,
        )
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise UpstreamError(
            f"the engine's answer is no chat completion: {raw[:200].decode('utf-8', 'replace')}",
            cure="check its version",
        ) from error
