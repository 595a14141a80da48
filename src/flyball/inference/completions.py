"""Completers: ask an engine over HTTP and take its answer apart. I/O: HTTP to the URL given, nothing else."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from flyball.addresses import normal, shown
from flyball.engines.catalog import is_elsewhere, kind_of
from flyball.errors import UpstreamError
from flyball.inference.answer_probability import ASKED, NONE_GIVEN, answer_probability
from flyball.inference.http_client import ServerAccess, client_of
from flyball.inference.likelihood import LIKELIHOOD, not_told, parse_likelihood, request_of
from flyball.inference.prompt_path import PromptPath
from flyball.inference.tool_calls import text_of_calls
from flyball.records import Release

MAY_REFUSE_PROBABILITIES = (400, 403, 422)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer: its text, tokens in and out, why it ended, and milliseconds from send to last byte.

    `log_probability`: of its text in nats; where it is None, `unknown` says why.
    """

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    total_ms: float
    log_probability: float | None = None
    unknown: str = NONE_GIVEN


class HttpCompleter:
    """Asks any OpenAI-compatible server, through the prompt path of `release` (None: bodies pass unchanged).

    Threads may share it. `way`: its key, headers, proxy and certificates; `api_key` alone will do for most.
    `probabilities`: ask for those of answers too, as long as the server does not refuse it.
    """

    def __init__(
        self,
        url: str,
        *,
        release: Release | None = None,
        model: str = "default",
        api_key: str | None = None,
        way: ServerAccess | None = None,
        timeout_s: float = 60.0,
        probabilities: bool = False,
    ) -> None:
        if release is not None and is_elsewhere(release):
            address, exact = url, kind_of(release).server(release.engine).exact
        else:
            address, exact = normal(url)
        self._client = client_of(address, way or ServerAccess(api_key=api_key), exact=exact, timeout_s=timeout_s)
        self._url, self._model = shown(url), model
        self._prompt_path = PromptPath(release) if release else None
        self._asked: Mapping[str, Any] = ASKED if probabilities else {}
        self._unknown, self._gives = NONE_GIVEN, False

    def complete(self, body: Mapping[str, Any], *, besides: Mapping[str, Any] | None = None) -> Completion:
        """The engine's answer to a chat body; InputError for a bad body, UpstreamError when the engine fails.

        `besides`: fields of the engine's own that no client may set, such as the slot that answers.
        """
        if LIKELIHOOD in body:
            return self._likelihood(body)
        request = self._prompt_path.engine_request(body).body if self._prompt_path else dict(body)
        request.setdefault("model", self._model)
        request.update(besides or {})
        began = time.perf_counter()
        status, raw = self._chat(request)
        total_ms = (time.perf_counter() - began) * 1000
        if status != 200:
            raise UpstreamError(
                f"{self._url} answered {status}: {raw[:300].decode('utf-8', 'replace')}",
                cure="look at the engine's log",
                status=status,
            )
        found = parse_completion(raw, total_ms=total_ms)
        return found if self._asked else replace(found, log_probability=None, unknown=self._unknown)

    def _chat(self, request: Mapping[str, Any]) -> tuple[int, bytes]:
        """Status and answer; a server that answers only without being asked for probabilities is not asked again."""
        asked = {name: value for name, value in self._asked.items() if name not in request}
        status, raw = self._post("/chat/completions", msgspec.json.encode({**request, **asked}))
        self._gives = self._gives or (bool(asked) and status == 200)
        unclear = status in MAY_REFUSE_PROBABILITIES and not self._gives
        if not asked or not (unclear or (status >= 400 and b"logprob" in raw)):
            return status, raw
        again = self._post("/chat/completions", msgspec.json.encode(request))
        if again[0] == 200:
            self._unknown = f"the server refuses to give them ({status}: {raw[:200].decode('utf-8', 'replace')})"
            self._asked = {}
        return again

    def _likelihood(self, body: Mapping[str, Any]) -> Completion:
        """How likely the text is as it stands, without the prompt path, as JSON."""
        began = time.perf_counter()
        request = {**request_of(body), "model": body.get("model", self._model)}
        status, raw = self._post("/completions", msgspec.json.encode(request))
        if status != 200:
            raise not_told(f"{self._url} answered {status}: {raw[:300].decode('utf-8', 'replace')}")
        found = parse_likelihood(raw, request["prompt"])
        return Completion(
            text=msgspec.json.encode(found).decode(),
            prompt_tokens=0,
            completion_tokens=0,
            finish_reason="stop",
            total_ms=(time.perf_counter() - began) * 1000,
        )

    def close(self) -> None:
        """Close the connections that are idle."""
        self._client.close()

    def _post(self, path: str, payload: bytes) -> tuple[int, bytes]:
        try:
            return self._client.post(path, payload)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> UpstreamError:
        reason = str(error) or type(error).__name__
        return UpstreamError(f"{self._url} does not answer: {reason}", cure="check that the engine runs there")


def _document(raw: bytes) -> Any:
    """JSON, also with halves of surrogate pairs, which an answer that is cut inside an emoji may end with, or NaN."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return json.loads(raw, parse_constant=lambda _: None)


def parse_completion(raw: bytes, *, total_ms: float) -> Completion:
    """The Completion in a chat completion's JSON, read leniently; UpstreamError when it is not one."""
    try:
        document = _document(raw)
        choice = document["choices"][0]
        usage = document.get("usage")
        counts = usage if isinstance(usage, dict) else {}
        text = text_of_calls(choice["message"].get("tool_calls")) or _text(choice["message"].get("content"))
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        completion_tokens = _count(counts.get("completion_tokens"))
        probability, unknown = answer_probability(choice.get("logprobs"), text, completion_tokens=completion_tokens)
        return Completion(
            text=text,
            prompt_tokens=_count(counts.get("prompt_tokens")),
            completion_tokens=completion_tokens,
            finish_reason=str(choice.get("finish_reason") or ""),
            total_ms=total_ms,
            log_probability=probability,
            unknown=unknown,
        )
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise UpstreamError(
            f"the engine's answer is not a chat completion: {raw[:200].decode('utf-8', 'replace')}",
            cure="check its version",
        ) from error


def _text(content: Any) -> str:
    """A message's content: a text, or the texts of its parts."""
    if isinstance(content, list):
        return "".join(_text(part.get("text") if isinstance(part, dict) else part) for part in content)
    return content if isinstance(content, str) else ""


def _count(value: Any) -> int:
    """A count of tokens, however a server writes it; 0 where it does not say."""
    try:
        return max(int(float(value)), 0)
    except (TypeError, ValueError, OverflowError):
        return 0
