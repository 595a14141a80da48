"""The fields of a chat request: which change the answer, which a release lets through, which are left out. Pure.

What was evaluated is what serves, so a request to a release may set only what the release names. Fields of the API
without effect on the answer are accepted and go no further. Fields that only engines know (`ignore_eos`, `grammar`) are
left out and named to the client. Fields of the API that change the answer are refused where the release does not name
them; of an answer that is one of a set of labels the sampling is the release's, so there those are left out and named.

Source of the names: OpenAI's API reference of chat completions, November 2026; what engines know besides: the servers
of llama.cpp and vLLM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from flyball.errors import ConfigError, UnsupportedField, nearest

REQUEST: Final = frozenset({"messages", "model", "stream", "stream_options"})
"""What is asked, and how the answer travels."""
NO_EFFECT: Final = frozenset(
    {"store", "metadata", "user", "safety_identifier", "service_tier", "prediction"}
    | {"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"}
)
"""Who asks, what the vendor keeps, how fast it comes: never the answer itself."""
SAMPLING: Final = frozenset(
    {"temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "logit_bias"}
    | {"frequency_penalty", "presence_penalty", "reasoning_effort", "verbosity"}
)
"""Which words are chosen, and how many."""
FORM: Final = frozenset(
    {"n", "logprobs", "top_logprobs", "response_format", "modalities", "audio", "web_search_options", "moderation"}
    | {"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"}
)
"""What an answer is made of: a client that asks for it reads it from the answer."""
OF_MESSAGES: Final = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "audio"}
    | {"reasoning", "reasoning_content"}
)
"""Fields of one message. Clients note more in it (which agent spoke), and engines know more (`prefix`)."""
ENGINE: Final = frozenset({"top_k", "min_p", "repeat_penalty", "repetition_penalty", "chat_template_kwargs"})
"""Fields of engines that a release may let through though they are not the API's."""

_TOOLS: Final = ("tools", "tool_choice", "parallel_tool_calls")
_COMMON: Final = (
    *("temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "logit_bias"),
    *("frequency_penalty", "presence_penalty", "n", "logprobs", "top_logprobs", "response_format"),
)
_TOGETHER: Final = {
    "tools": _TOOLS,
    "functions": ("functions", "function_call"),
    "logprobs": ("logprobs", "top_logprobs"),
    "max_tokens": ("max_tokens", "max_completion_tokens"),
}
"""Fields that mean nothing without each other, or the same."""
_NAMES_SHOWN: Final = 16
_NAME_LENGTH: Final = 48


_KEPT: Final = 0
_DROPPED: Final = 1
_REFUSED: Final = 2
_IGNORED: Final = 3
_UNKNOWN: Final = 4


class FieldRules:
    """What one release does with the fields of requests.

    `allowed`: what a request may set. `labels`: the answer is one of a set. `decided`: what the release itself says of
    fields; to ask for just that is no request for another answer.
    """

    def __init__(self, allowed: Iterable[str], *, labels: bool, decided: Mapping[str, Any]) -> None:
        self._labels = labels
        self._decided = decided
        self._courses = dict.fromkeys(REQUEST | NO_EFFECT, _DROPPED)
        self._courses |= dict.fromkeys(FORM | SAMPLING, _REFUSED)
        if labels:
            self._courses |= dict.fromkeys(SAMPLING, _IGNORED)
        self._courses |= dict.fromkeys((*allowed, "model"), _KEPT)

    def sort(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The fields that count, without messages, and the names of those that are left out and told.

        UnsupportedField for one that would change the answer.
        """
        kept: dict[str, Any] = {}
        ignored: list[str] = []
        for name, value in body.items():
            course = self._courses.get(name, _UNKNOWN)
            if value is None or course == _DROPPED:
                continue
            if course == _KEPT:
                kept[name] = value
            elif course == _UNKNOWN:
                ignored.append(name)
            elif not self._changes_nothing(name, value, body):
                if course == _REFUSED:
                    raise self._refusal(name)
                ignored.append(name)
        if body.get("stream") is True:
            kept["stream"] = True
        return kept, ignored

    def sort_message(self, message: Mapping[str, Any], ignored: dict[str, None]) -> dict[str, Any]:
        """The fields of one message that count; the names of others are added to `ignored`, once."""
        kept: dict[str, Any] = {}
        for name, value in message.items():
            if name in OF_MESSAGES:
                if value is not None or name == "content":
                    kept[name] = value
            elif value and name != "annotations":
                ignored[f"messages.{name}"] = None
        return kept

    def _changes_nothing(self, name: str, value: Any, body: Mapping[str, Any]) -> bool:
        if name in self._decided and self._decided[name] == value:
            return True
        if name in _TOOLS:
            return not _calls_tools(body) or (name == "tool_choice" and value == "auto")
        if name in ("functions", "function_call"):
            return not body.get("functions") or body.get("function_call") == "none"
        return name in _NOTHING and value == _NOTHING[name]

    def _refusal(self, name: str) -> UnsupportedField:
        if self._labels:
            return UnsupportedField(
                f"this release answers with one of its labels and nothing else, so {name} cannot be honoured",
                cure="leave it out",
                param=name,
            )
        return UnsupportedField(
            f"this release does not let a request set {name}, which changes the answer",
            cure="leave it out; or add it to release.request_fields in flyball.yaml, then build and gate a release",
            param=name,
        )


_NOTHING: Final[dict[str, Any]] = {
    "n": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "response_format": {"type": "text"},
    "modalities": ["text"],
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "stop": [],
}
"""Values that ask for what comes anyway."""


def _calls_tools(body: Mapping[str, Any]) -> bool:
    """Whether an answer may call a tool: the API says not without tools, nor where the choice is none."""
    return bool(body.get("tools")) and body.get("tool_choice") != "none"


def fields_of_release(wanted: Sequence[str] | None, *, labels: bool, tools: bool, elsewhere: bool) -> tuple[str, ...]:
    """What requests to a new release may set: as flyball.yaml says, else what ordinary clients send.

    `tools`: its engine and template know tools. `elsewhere`: a server that knows the whole API. ConfigError for names
    that cannot be let through.
    """
    if wanted is None:
        if labels:
            return ()
        effort = ("reasoning_effort", "verbosity") if elsewhere else ()
        return tuple(sorted((*_COMMON, *(_TOOLS if tools else ()), *effort)))
    known = SAMPLING | FORM | ENGINE
    for name in wanted:
        if labels:
            raise ConfigError(
                f"release.request_fields names {name}, but an answer is one of the labels whatever a request says",
                cure="leave release.request_fields out, or set release.constraint: none",
            )
        if name in REQUEST or name in NO_EFFECT:
            raise ConfigError(f"release.request_fields names {name}, which every request may set", cure="leave it out")
        if name not in known:
            near = nearest(name, sorted(known))
            raise ConfigError(
                f"release.request_fields names {name}, which no release lets through",
                cure=f"did you mean {near}?" if near else f"choose of {', '.join(sorted(known))}",
            )
    return tuple(sorted({each for name in wanted for each in _TOGETHER.get(name, (name,))}))


def header_value(names: Sequence[str]) -> str:
    """Names that a client chose as the value of a header: plain, short, and not too many."""
    shown = ", ".join(_plain(name) for name in names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return f"{shown}, and {more} more" if more > 0 else shown


def _plain(name: str) -> str:
    return "".join(
        sign if sign.isascii() and (sign.isalnum() or sign in "_-.") else "?" for sign in name[:_NAME_LENGTH]
    )
