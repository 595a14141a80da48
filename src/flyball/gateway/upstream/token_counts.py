"""What a request took in tokens: as its server counted, else estimated from what was asked and said.

A count is believed unless it is 0 or missing where there is text, was taken before the end of a text, or is less than
one token for PLAUSIBLE characters, which no tokenizer manages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flyball.cost.prompt_estimate import MESSAGE, SPEECH_PER_S, audio_tokens, prompt_parts
from flyball.cost.token_estimate import Calibration
from flyball.cost.token_usage import MAX_TOKENS
from flyball.gateway.upstream.sse import AnswerContent
from flyball.records import Release

PLAUSIBLE: Final = 64
_NEAR: Final = 1.5
"""Events are tokens where their number is so near to the estimate."""
_TEACHES: Final = 64
"""A text with fewer characters teaches nothing."""


class TokenCounter:
    """Counts tokens in one worker, and learns each model's tokenizer from the answers that come with a count."""

    __slots__ = ("_calibration",)

    def __init__(self) -> None:
        self._calibration = Calibration()

    def settle(
        self,
        tally: AnswerContent,
        body: Mapping[str, Any],
        *,
        model: str,
        release: Release | None,
        embedding: bool,
        asked: bool,
    ) -> None:
        """Make the tally's counts those that are charged.

        `release` has texts of its own that are put before a prompt; `asked`: an engine has read that.
        """
        if not tally.prompt_tokens and (tally.heard or asked):
            tokens = min(self._prompt_tokens(body, release, model), MAX_TOKENS)
            if tally.total:
                tokens = tally.total if embedding else min(tokens, tally.total)
            tally.prompt_tokens, tally.estimated = tokens, not (tally.total and embedding)
        if embedding:
            return
        reported = tally.reported
        spoken = tally.deltas or tally.shape is not None
        if spoken and (not reported or tally.counted_at != tally.deltas or _is_too_few(tally, reported)):
            self._estimate_completion(tally, body, model)
        if reported and not tally.estimated and self._calibration.due(model):
            self._learn(tally, model, reported)

    def _prompt_tokens(self, body: Mapping[str, Any], release: Release | None, model: str) -> int:
        found = 0
        parts = list(prompt_parts(body))
        if release is not None:
            parts += [(message.content, MESSAGE) for message in release.examples]
            parts.append((release.system_prompt or "", MESSAGE))
        for text, tokens in parts:
            found += tokens + (self._calibration.tokens(model, text) if text else 0)
        return found

    def _estimate_completion(self, tally: AnswerContent, body: Mapping[str, Any], model: str) -> None:
        tally.estimated = True
        if tally.total:
            tally.completion = max(tally.total - tally.prompt_tokens, 1)
            return
        texts = tally.spoken()
        tokens = self._calibration.tokens(model, "".join(texts))
        for other in tally.others.values():
            tokens += other.marks()
            if other.audio_size:
                audio = body.get("audio")
                form = audio.get("format") if isinstance(audio, dict) else None
                tokens = max(tokens, audio_tokens(other.audio_size, form, SPEECH_PER_S))
        deltas = tally.deltas
        if tally.streamed and tokens <= deltas * _NEAR and deltas <= tokens * _NEAR:
            tokens = deltas
        tally.completion = min(max(tokens, tally.reported or 0), MAX_TOKENS)

    def _learn(self, tally: AnswerContent, model: str, reported: int) -> None:
        if tally.others or tally.reasoning_tokens or tally.hidden or tally.shape is not None:
            return  # part of what was counted is not there to be read
        text = tally.answer if len(tally.texts) == 1 else "".join(tally.spoken())
        if len(text) >= _TEACHES:
            self._calibration.learn(model, text, reported)


def _is_too_few(tally: AnswerContent, reported: int) -> bool:
    """Whether no tokenizer has so few tokens for such a text."""
    characters = 0
    for pieces in tally.texts.values():
        characters += sum(map(len, pieces))
    return characters > reported * PLAUSIBLE
