"""What an engine's answer says: text, finish reason, token counts; and its `model` replaced by the route's name.

Events are looked at, not rebuilt: the bytes go on as they came, except that the model's name is replaced in place. That
is safe on bytes: inside a JSON string its quotes would be escaped.
"""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from flyball.cost.token_usage import bounded, reconciled
from flyball.gateway.upstream.choice_content import ChoiceContent
from flyball.gateway.upstream.chunks import NO_DATA, Chunk, Message, Usage, decoded, shape_of, usage_beside
from flyball.gateway.upstream.engine_errors import error_status, error_words, is_error
from flyball.gateway.upstream.event_patterns import SIZES, Pattern
from flyball.gateway.upstream.lenient_json import all_valid, texts_in, valid, without_bytes
from flyball.gateway.upstream.model_name import renamed

_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C
_LF: Final = 0x0A
_CR: Final = 0x0D
_REASONING: Final = (b'"reasoning_content":', b'"reasoning":')
_LARGEST: Final = 4096 + 6
"""The whole length of a chunk with the largest size that SIZES has."""


class AnswerContent:
    """Gathers an answer, whole or event by event; whatever is not understood is passed on and counted as it can be."""

    __slots__ = (
        *("cached_tokens", "completion", "counted_at", "deltas", "error", "error_body", "error_status", "estimated"),
        *("finish_reason", "heard", "hidden", "model", "odd", "others", "pattern", "prompt_tokens"),
        *("reasoning_tokens", "reported", "said", "shape", "sink", "streamed", "texts", "total"),
    )

    def __init__(self, model: str) -> None:
        self.model = model
        self.texts: dict[int, list[str]] = {}
        self.others: dict[int, ChoiceContent] = {}
        self.shape: Any = None  # of an answer without choices: all of it
        self.deltas = 0
        self.finish_reason: str | None = None
        self.prompt_tokens = 0
        self.reported: int | None = None  # completion tokens as the engine counts them
        self.completion: int | None = None  # in place of those, see reckoning
        self.cached_tokens = 0  # of the prompt's
        self.reasoning_tokens = 0  # of the completion's
        self.total = 0  # where its parts were not told
        self.counted_at = 0  # how many deltas had come when the engine counted last
        self.hidden = False  # the engine has counted more than it has said
        self.estimated = False
        self.error: str | None = None
        self.error_body = b""
        self.error_status = 0  # the status of HTTP that an error in a 200 stands for; 0: it does not say
        self.heard = False  # the engine has answered at all
        self.said = False  # the engine has said [DONE]
        self.streamed = False
        self.odd = False  # something was no plain JSON: its texts may hold halves of surrogate pairs
        self.pattern: Pattern | None = None
        self.sink: list[str] = []  # where texts of that pattern belong

    @property
    def finished(self) -> bool:
        """Whether the engine came to an end of its own."""
        return self.error is None and (self.said or self.finish_reason is not None)

    @property
    def completion_tokens(self) -> int:
        """As reckoned or reported, else one per event with text."""
        if self.completion is not None:
            return self.completion
        return self.deltas if self.reported is None else self.reported

    @property
    def answer(self) -> str:
        """The text of the first choice; where it refused, what it said of that."""
        text = "".join(self.texts.get(0, ()))
        if not text and (other := self.others.get(0)) is not None:
            text = "".join(other.refusal) or "".join(other.transcript)
        return valid(text) if self.odd else text

    @property
    def choices(self) -> list[dict[str, Any]] | None:
        """Every choice, where there is more to say than one text."""
        if self.shape is not None:
            return [{"content": "", "tool_calls": [], "other": all_valid(without_bytes(self.shape))}]
        if not self.others and len(self.texts) < 2:
            return None
        found = [
            self.others.get(index, _NOTHING).document("".join(self.texts.get(index, ())))
            for index in sorted({*self.texts, *self.others})
        ]
        return cast("list[dict[str, Any]]", all_valid(found)) if self.odd else found

    def spoken(self) -> list[str]:
        """Every text that took tokens."""
        texts = [text for pieces in self.texts.values() for text in pieces]
        for other in self.others.values():
            texts += other.texts()
        return texts if self.shape is None else [*texts, *texts_in(self.shape)]

    def event(self, event: bytes, *, wants_usage: bool) -> bytes | None:
        """One event as the client gets it; None when it is the token count that the client did not ask for."""
        pattern = self.pattern
        if pattern is not None and (text := pattern.text(event)) is not None:
            try:
                self.sink.append(text.decode())
            except UnicodeDecodeError:
                return event  # no JSON: passed on and not counted
            self.deltas += 1
            return b"%b%b%b" % (pattern.new_before, text, pattern.new_after)
        payload = _payload(event)
        if payload is None:
            return event
        if payload == b"[DONE]":
            self.said = True
            return event
        chunk = decoded(payload)
        if chunk is None:
            return event
        self.streamed = True
        if chunk.error is not None and is_error(chunk.error):
            self._fail(chunk, payload)
        else:
            self._count(chunk, streamed=True)
            if chunk.usage is not None and not chunk.choices and not wants_usage:
                return None
        if (piece := _piece(chunk)) is not None:
            self._learn(event, chunk, *piece)
        return self.renamed(event, chunk.model)

    def relayed(self, chunk: bytes) -> bytes | None:
        """A whole chunk of HTTP with a piece of text and no more, as the client's chunk; None: it must be parsed."""
        pattern, length = self.pattern, len(chunk)
        if pattern is None or length > _LARGEST:
            return None
        before, end = pattern.before, pattern.end
        at, size = (4, length - 6) if length <= 262 else (5, length - 7)  # two hexadecimal digits or three
        start = at + len(before)
        if not (chunk.startswith(before, at) and chunk.endswith(end, start) and chunk.startswith(SIZES[size])):
            return None
        text = chunk[start : -len(end)]
        if not text or _QUOTE in text or _BACKSLASH in text or _LF in text or _CR in text:
            return None
        try:
            self.sink.append(text.decode())
        except UnicodeDecodeError:
            return None
        self.deltas += 1
        size = len(text) + pattern.around
        head = SIZES[size] if size < len(SIZES) else b"%x\r\n" % size
        return head + pattern.new_before + text + pattern.new_end

    def _learn(self, event: bytes, chunk: Chunk, key: bytes, text: str) -> None:
        """Keep what surrounds the text of an event, where its place is beyond doubt."""
        encoded = msgspec.json.encode(text)
        renamed = self.renamed(event, chunk.model)
        for mark in (key, key + b" "):
            before, found, after = event.partition(mark + encoded)
            if found and mark not in before and mark not in after:
                new_before, _, new_after = renamed.partition(mark + encoded)
                before, new_before = before + mark + b'"', new_before + mark + b'"'
                self.pattern = Pattern(before, b'"' + after, new_before, b'"' + new_after)
                self.sink = self.others[0].reasoning if key in _REASONING else self.texts[0]
                return

    def whole(self, body: bytes) -> Chunk | None:
        """A plain answer; None when it is no JSON. An error in it is not counted."""
        chunk = decoded(body)
        if chunk is None:
            return None
        failed = chunk.error is not None and is_error(chunk.error)
        if failed and not chunk.choices:
            self._fail(chunk, body)
            return chunk
        if chunk.choices is None and chunk.data is NO_DATA:
            self.shape, self.odd = shape_of(body), True
        self._count(chunk, streamed=False)
        if failed and not self.deltas:
            self._fail(chunk, body)
        return chunk

    def renamed(self, data: bytes, found: str | None) -> bytes:
        """`data` with the route's name for the engine's, where it says `model` on top."""
        return data if found is None or found == self.model else renamed(data, found, self.model)

    def _fail(self, chunk: Chunk, body: bytes) -> None:
        self.error_body = body
        self.error, self.error_status = error_words(chunk.error), error_status(chunk.error)
        if chunk.usage is not None:
            self._take_usage(chunk.usage)

    def _count(self, chunk: Chunk, *, streamed: bool) -> None:
        self.heard = True
        if chunk.odd:
            self.odd = True
        for position, choice in enumerate(chunk.choices or ()):
            if choice.finish_reason:  # some servers say "" until the end
                self.finish_reason = choice.finish_reason
            index = position if choice.index is None else choice.index
            message = choice.delta or choice.message
            text = choice.text
            if message is not None:
                text = message.content or text
                if streamed and choice.delta is None and text and index in self.texts:
                    text = _rest(text, self.texts[index])  # the whole answer once more, at its end
                if _says_more(message):
                    other = self.others.get(index)
                    if other is None:
                        other = self.others[index] = ChoiceContent()
                    if other.take(message) and not text:
                        self.deltas += 1
            if text:
                self.deltas += 1
                self.texts.setdefault(index, []).append(text)
        usage = chunk.usage
        if usage is None and (chunk.timings is not None or chunk.x_groq is not None):
            usage = usage_beside(chunk)
        if usage is not None:
            self._take_usage(usage)

    def _take_usage(self, usage: Usage) -> None:
        """Counts of an answer, or of all of a stream so far: the largest of each that was told."""
        prompt, completion = bounded(usage.prompt_tokens), bounded(usage.completion_tokens)
        told = completion > 0 or usage.completion_tokens is not None
        cached, reasoning = bounded(usage.prompt_cache_hit_tokens), bounded(usage.reasoning_tokens)
        if (details := usage.prompt_tokens_details) is not None:
            cached = cached or bounded(details.cached_tokens)
        if (parts := usage.completion_tokens_details) is not None:
            reasoning = reasoning or bounded(parts.reasoning_tokens)
        if usage.input_tokens is not None and usage.prompt_tokens is None:  # Anthropic's: beside the cache
            cached = cached or bounded(usage.cache_read_input_tokens)
            prompt = bounded(usage.input_tokens) + cached + bounded(usage.cache_creation_input_tokens)
        if usage.output_tokens is not None and usage.completion_tokens is None:
            completion, told = bounded(usage.output_tokens), True
        total = bounded(usage.total_tokens)
        if total != prompt + completion:
            asked, said = reconciled(prompt, completion, total, cached=cached, reasoning=reasoning)
            if not asked and not said:
                self.total = max(self.total, total)
            self.hidden = self.hidden or said != completion
            prompt, completion = asked, said
        if prompt > self.prompt_tokens:
            self.prompt_tokens = prompt
        if told or completion:
            if self.reported is None or completion > self.reported:
                self.reported = completion
            self.counted_at = self.deltas
        if cached > self.cached_tokens:
            self.cached_tokens = min(cached, self.prompt_tokens)
        if reasoning > self.reasoning_tokens:
            self.reasoning_tokens = min(reasoning, self.reported or 0)


_NOTHING: Final = ChoiceContent()


def _rest(text: str, pieces: list[str]) -> str:
    """What a text says beyond the pieces before it."""
    before = "".join(pieces)
    return text[len(before) :] if text.startswith(before) else text


def _says_more(message: Message) -> bool:
    """Whether a message has anything beside its content."""
    return bool(
        message.reasoning_content
        or message.reasoning
        or message.refusal
        or message.tool_calls
        or message.function_call is not None
        or message.audio is not None
        or message.images
        or message.others
    )


def _piece(chunk: Chunk) -> tuple[bytes, str] | None:
    """The key and the text of an event that is nothing but a piece of the first choice's text, or of its reasoning."""
    if chunk.choices is None or len(chunk.choices) != 1 or chunk.usage is not None or chunk.error is not None:
        return None
    choice = chunk.choices[0]
    if choice.index or choice.finish_reason or chunk.odd or choice.message is not None:
        return None
    delta = choice.delta
    if delta is None:
        return (b'"text":', choice.text) if choice.text else None
    if choice.text:
        return None
    if delta.content:
        return None if _says_more(delta) else (b'"content":', delta.content)
    if delta.refusal or delta.tool_calls or delta.function_call is not None or delta.audio is not None or delta.images:
        return None
    if delta.reasoning_content:
        return None if delta.reasoning else (_REASONING[0], delta.reasoning_content)
    return (_REASONING[1], delta.reasoning) if delta.reasoning else None


def _payload(event: bytes) -> bytes | None:
    """The data of an event; None for comments and events without data."""
    if event.startswith(b"data: ") and _LF not in event:
        return event[6:].strip()
    lines = [line[5:].strip() for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
