"""How likely a text is to a model, and how a server's echo of a prompt says so. Pure.

A body with the field `LIKELIHOOD` asks for that instead of an answer; no server sees the field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from flyball.errors import UpstreamError

LIKELIHOOD: Final = "likelihood"


class Likelihood(msgspec.Struct, frozen=True, kw_only=True):
    """The sum of -log p in nats over the tokens of a text, how many those are, and how many bytes they stand for.

    A first token without anything before it has no probability, so it is left out with its bytes.
    """

    nats: float
    tokens: int
    bytes: int


def request_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What /completions is asked: the text echoed, with log-probabilities; many servers want one new token at least."""
    return {"prompt": text_of(body), "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}


def text_of(body: Mapping[str, Any]) -> str:
    """The text that is scored."""
    return str(body["messages"][-1]["content"])


def parse_likelihood(raw: bytes, text: str) -> Likelihood:
    """The likelihood in a completion that echoes its prompt; UpstreamError where it does not tell."""
    try:
        document = msgspec.json.decode(raw)
        choice = document["choices"][0]
        tokens, found = choice["logprobs"]["tokens"], choice["logprobs"]["token_logprobs"]
        usage = document.get("usage")
        count = int((usage or {}).get("prompt_tokens") or len(tokens) - 1)
        if not str(choice["text"]).startswith(text) or len(tokens) != len(found) or not 0 < count <= len(tokens):
            raise ValueError("the text does not come back with its tokens")
        if any(one is None for one in found[1:count]):
            raise ValueError("a token has no log-probability")
        known = [float(one) for one in found[:count] if one is not None]
        if not known or not all(math.isfinite(one) and one <= 0.0 for one in known):
            raise ValueError("a log-probability is above 0 or no number")
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise not_told(str(error)) from error
    first = str(tokens[0])
    unscored = len(first.encode()) if found[0] is None and text.startswith(first) else 0
    return Likelihood(nats=-sum(known), tokens=len(known), bytes=len(text.encode()) - unscored)


def not_told(why: str) -> UpstreamError:
    """The error of a server that gives no log-probabilities of prompts, such as llama.cpp's."""
    return UpstreamError(
        f"likelihood is not available: the server does not echo log-probabilities of a prompt ({why[:200]})",
        cure="use a server with echo and logprobs on /completions, such as vLLM, or give the model's folder",
        status=400,
    )
