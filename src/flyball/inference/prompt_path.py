"""The prompt path: a chat body and a release in, the body that the engine gets out; one path for tests and traffic.

For a classification (a release whose constraint is labels) the user's last message is the raw text and the answer is
the label alone: earlier turns and whatever could change the form of the answer are left out, decoding is greedy. How
the engine is held to the labels is its kind's (engines/). Where it can be held to nothing they are named in the system
message instead; evaluation then counts any other answer as wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from flyball.engines.catalog import is_elsewhere, kind_of
from flyball.errors import InputError
from flyball.inference.guardrails import guardrail
from flyball.inference.messages import content_text, last_user_text, messages_of, neutralise, with_head
from flyball.inference.preparation import TextPreparer, cut
from flyball.inference.preparation.control_tokens import neutraliser
from flyball.inference.request_fields import FieldRules
from flyball.records import Release

PROMPT_PATH: Final = 2
"""Version of this path; an EvalReport says which one it was measured through.

2: a release says which fields of a request count, and how texts are prepared. Releases from before are asked as ever.
"""

_DECIDED_BY_LABELS = (
    *("response_format", "tools", "tool_choice", "functions", "function_call", "json_schema", "grammar", "stop"),
    *("structured_outputs", "guided_choice", "guided_json", "guided_regex", "guided_grammar"),
    *("max_tokens", "max_completion_tokens", "n_predict", "top_p", "top_k", "min_p", "logit_bias", "samplers"),
    *("frequency_penalty", "presence_penalty", "repeat_penalty", "mirostat"),
)
_MUCH_TOO_LONG: Final = 20
"""A text of so many times the longest that the model reads is not looked through to its end."""
_LIMITS = ("max_tokens", "max_completion_tokens", "n_predict")


class EngineRequest(NamedTuple):
    """What the engine gets, and the names of the client's fields that count for nothing and are told to it."""

    body: dict[str, Any]
    ignored: tuple[str, ...]


class PromptPath:
    """The prompt path of one release, prepared once: grammar, system message and examples are made here."""

    def __init__(self, release: Release) -> None:
        self.release = release
        constraint, engine = release.constraint, release.engine
        self._labels = constraint.kind == "labels"
        self._redact = redactor(release.input_redaction)
        prepared = release.preparation  # None of a release from before it: texts stay as they are
        self._prepare: TextPreparer | None = None
        self._most: int | None = None
        if prepared is not None:
            self._most = prepared.max_characters
            self._prepare = TextPreparer(replace(prepared, max_characters=None))
        self._neutralise = neutralise if prepared is None else neutraliser(prepared.control_tokens)
        self._guardrails = [guardrail(name, context=engine.context) for name in release.guardrails]
        self._system = release.system_prompt or ""
        asked = kind_of(release).asked(release)
        self._fixed: dict[str, Any] = dict(asked.fields)
        if asked.instruction:
            self._system = f"{self._system}\n\n{asked.instruction}" if self._system else asked.instruction
        if constraint.kind == "json_schema":
            schema = {"name": "answer", "schema": constraint.schema}
            self._fixed["response_format"] = {"type": "json_schema", "json_schema": schema}
        self._sampling = dict(release.sampling)
        self._fields: FieldRules | None = None  # of a release from before it named any: all pass
        if release.request_fields is not None:
            decided = self._fixed if self._labels else self._sampling | self._fixed
            self._fields = FieldRules(release.request_fields, labels=self._labels, decided=decided)
        self.embeds = self._fields is None and is_elsewhere(release)
        """Whether it passes on requests for embeddings: nothing evaluates them, so that newer releases do not."""
        self._examples = [{"role": example.role, "content": example.content} for example in release.examples]

    def engine_request(self, body: Mapping[str, Any]) -> EngineRequest:
        """What the engine's /v1/chat/completions gets for `body`; InputError for a bad one. `body` is not changed."""
        if not isinstance(body, Mapping):
            raise InputError("the request is not a JSON object", cure='send {"model": …, "messages": […]}')
        messages = messages_of(body)
        ignored: dict[str, None] = {}
        if self._fields is not None:
            request, names = self._fields.sort(body)
            ignored = dict.fromkeys(names)
        else:
            request = dict(body)
            for key in _DECIDED_BY_LABELS if self._labels else ():
                request.pop(key, None)
        if self._labels:
            turns = [{"role": "user", "content": self._clean(last_user_text(messages))}]
            system = self._system
        else:
            for key, value in self._sampling.items():
                if key not in request and not (key in _LIMITS and any(name in request for name in _LIMITS)):
                    request[key] = value
            system, turns = self._turns(messages, ignored)
        if self._guardrails:
            size = sum(len(str(turn.get("content") or "").encode()) for turn in turns)
            for check in self._guardrails:
                check(size)
        request["messages"] = with_head(system, self._examples, turns)
        request.update(self._fixed)
        return EngineRequest(request, tuple(ignored))

    def _clean(self, text: str) -> str:
        """As rows are in the data stage and in training: prepared, without personal data, without control tokens."""
        if self._prepare is not None:
            if self._most is not None and len(text) > _MUCH_TOO_LONG * self._most:
                text = text[: _MUCH_TOO_LONG * self._most]
            text = self._prepare(text)[0]
        return self._neutralise(cut(self._redact(text), self._most))

    def _turns(self, messages: list[Mapping[str, Any]], ignored: dict[str, None]) -> tuple[str, list[dict[str, Any]]]:
        """One system text (the release's first, then the client's own), and the other messages, cleaned."""
        system, turns = [self._system] if self._system else [], []
        for message in messages:
            content = message.get("content")
            text = self._clean(content_text(content))
            if message["role"] in ("system", "developer"):
                system.append(text)
            else:
                kept = message if self._fields is None else self._fields.sort_message(message, ignored)
                if self._prepare is not None:
                    kept = {name: self._harmless(value) for name, value in kept.items() if name != "content"}
                turns.append({**kept, "content": text if content is not None else None})
        return "\n\n".join(system), turns

    def _harmless(self, value: Any) -> Any:
        """A message's other values, such as calls of tools, without control tokens."""
        if isinstance(value, str):
            return self._neutralise(value)
        if isinstance(value, list):
            return [self._harmless(item) for item in value]
        if isinstance(value, dict):
            return {name: self._harmless(item) for name, item in value.items()}
        return value


def engine_request(release: Release, body: Mapping[str, Any]) -> dict[str, Any]:
    """What `release`'s engine gets for `body`; who answers many requests keeps a PromptPath instead."""
    return PromptPath(release).engine_request(body).body


def redactor(profile: str) -> Callable[[str], str]:
    """The function that takes personal data out of a text under `profile`."""
    if profile == "none":
        return _unchanged
    from flyball.privacy.redaction import redact  # compiles its patterns on import; "none" never needs them

    return lambda text: redact(text, profile).text


def _unchanged(text: str) -> str:
    return text
