"""Answers of a classifier in the forms of OpenAI's chat completions: whole, or as events of a stream. Pure."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import msgspec

from flyball.engines.label import Label
from flyball.errors import InputError

_MOST_TOP = 20  # as in OpenAI's API
_LEAST = 1e-45  # the smallest number that is not zero in 32 bits


def answer_of(body: Mapping[str, Any], text: str, label: Label, *, model: str = "linear") -> dict[str, Any]:
    """The whole answer: the label, and natural logarithms of the probabilities that are known, where `logprobs` asks.

    InputError for `top_logprobs` that is no number from 0 to 20.
    """
    words = len(text.split())
    return {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model") or model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": label.name},
                "logprobs": _log_probabilities(body, label),
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": words, "completion_tokens": 1, "total_tokens": words + 1},
    }


def wants_stream(body: Mapping[str, Any]) -> bool:
    """Whether the answer is to come as events."""
    return body.get("stream") is True


def events_of(body: Mapping[str, Any], answer: Mapping[str, Any]) -> bytes:
    """The answer as events: the label, its end, the usage where `stream_options` asks for it, and [DONE]."""
    head = {**{name: answer[name] for name in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    choice = answer["choices"][0]
    said = {"index": 0, "delta": choice["message"], "logprobs": choice["logprobs"], "finish_reason": None}
    end = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": choice["finish_reason"]}
    chunks: list[dict[str, Any]] = [{**head, "choices": [said]}, {**head, "choices": [end]}]
    options = body.get("stream_options")
    if isinstance(options, Mapping) and options.get("include_usage"):
        chunks.append({**head, "choices": [], "usage": answer["usage"]})
    return b"".join(b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"


def _log_probabilities(body: Mapping[str, Any], label: Label) -> dict[str, Any] | None:
    if not body.get("logprobs"):
        return None
    top = body.get("top_logprobs") or 0
    if not isinstance(top, int) or isinstance(top, bool) or not 0 <= top <= _MOST_TOP:
        raise InputError(f"top_logprobs is {top!r}", cure=f"give a number from 0 to {_MOST_TOP}")
    known = dict(zip(label.labels, label.probabilities, strict=True))
    if label.name not in known:
        return None
    likely = sorted(known, key=lambda name: -known[name])[:top]
    first = _told(label.name, known[label.name])
    return {"content": [{**first, "top_logprobs": [_told(name, known[name]) for name in likely]}]}


def _told(label: str, probability: float) -> dict[str, Any]:
    return {"token": label, "logprob": math.log(max(probability, _LEAST)), "bytes": list(label.encode())}
