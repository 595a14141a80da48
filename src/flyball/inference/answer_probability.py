"""How probable an answer was to the engine that gave it, from the log-probabilities beside it. Pure.

It is the product over the tokens of the answer's text. The token that ends the answer is left out, since not every
server lists it. Engines count it over their whole vocabulary, also where a grammar leaves few answers. Nothing is
guessed: where a token of the answer has no log-probability, there is none of the answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

ASKED: Final[Mapping[str, Any]] = {"logprobs": True, "top_logprobs": 1}
"""What a chat body asks for; llama.cpp gives none without the second."""
NONE_GIVEN: Final = "the server gives no log-probabilities with its answers"
_ROUNDING: Final = 1e-4


def answer_probability(logprobs: object, text: str, *, completion_tokens: int = 0) -> tuple[float | None, str]:
    """The logarithm of the probability of `text` in nats, or None and why; `completion_tokens`: as usage counts them.

    `logprobs`: the choice's field of that name.
    """
    listed = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(listed, list) or not listed:
        return None, NONE_GIVEN
    if not text.strip():
        return None, "an empty answer has no tokens"
    wanted, said, total = text.strip().encode(), b"", 0.0
    for place, one in enumerate(listed, start=1):
        try:
            said += bytes(one["bytes"]) if one.get("bytes") is not None else str(one["token"]).encode()
            value = float(one["logprob"])
        except (TypeError, KeyError, ValueError, AttributeError):
            return None, "a token of the answer has no log-probability"
        if not math.isfinite(value) or value > _ROUNDING:
            return None, f"a token's log-probability is {value}"
        total += min(0.0, value)
        if said.strip() == wanted:
            ends = place < len(listed)  # the end of the answer is listed, so every token should be
            if not text.isascii() and len(listed) < completion_tokens - (not ends):
                return None, "the server leaves out tokens that are parts of a character"
            return total, ""
    return None, "the tokens that the server lists are not those of the answer"
