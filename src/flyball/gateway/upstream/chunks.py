"""The parts of an engine's answer that the gateway reads, whole or one event: as OpenAI writes them, else leniently.

Servers are observed, not judged: what has another shape than expected is read by `lenient_json`, as far as it can be;
None is only what is no JSON at all.
"""

from __future__ import annotations

from typing import Any

import msgspec

from flyball.gateway.upstream.lenient_json import document, number, text_of, words

NO_DATA = msgspec.Raw(b"")


class Function(msgspec.Struct):
    """What is called, or a piece of it."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct):
    """One tool call, or a piece of it."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None


class Message(msgspec.Struct):
    """What a choice says, or a piece of it. `others` is what is neither text nor a call: pictures, audio, …"""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    audio: Any = None
    images: Any = None
    others: Any = msgspec.field(default=None, name="flyball others")


class Choice(msgspec.Struct):
    """One choice, or an event's piece of it."""

    index: int | None = None
    message: Message | None = None
    delta: Message | None = None
    text: str | None = None
    finish_reason: str | None = None


class PromptDetails(msgspec.Struct):
    """What prompt tokens are made of."""

    cached_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    """What completion tokens are made of."""

    reasoning_tokens: int | None = None


class Usage(msgspec.Struct):
    """Token counts, under every name that servers use for them; None is what was not said."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None  # DeepSeek
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None  # Anthropic: beside input_tokens
    cache_creation_input_tokens: int | None = None
    reasoning_tokens: int | None = None  # SGLang


class Chunk(msgspec.Struct):
    """The parts of an answer or of one event that the gateway reads.

    Two are the reader's own: `shape` is what is no object, `odd` says that the strict decoder could not read it.
    """

    model: str | None = None
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None
    data: msgspec.Raw = NO_DATA
    x_groq: Any = None  # Groq's usage
    timings: Any = None  # llama.cpp's counts
    shape: Any = msgspec.field(default=None, name="flyball shape")
    odd: bool = msgspec.field(default=False, name="flyball odd")


_DECODER = msgspec.json.Decoder(Chunk)


def decoded(payload: bytes) -> Chunk | None:
    """The parts that are read; None when it is no JSON."""
    try:
        return _DECODER.decode(payload)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _leniently(payload)


def usage_beside(chunk: Chunk) -> Usage | None:
    """Counts that a server gives elsewhere than in `usage`."""
    if isinstance(chunk.x_groq, dict) and isinstance(usage := chunk.x_groq.get("usage"), dict):
        return _usage(usage)
    if isinstance(chunk.timings, dict):
        prompt, cached, said = (number(chunk.timings.get(name)) for name in ("prompt_n", "cache_n", "predicted_n"))
        return Usage(prompt_tokens=None if cached is None else (prompt or 0) + cached, completion_tokens=said)
    return None


def shape_of(body: bytes) -> Any:
    """An answer without choices, as it is; None where even that cannot be read."""
    try:
        return document(body)
    except (ValueError, RecursionError):
        return None


def _leniently(payload: bytes) -> Chunk | None:
    try:
        found = document(payload)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list) and len(found) == 1:  # Google's errors
        found = found[0]
    if not isinstance(found, dict):
        return Chunk(shape=found, odd=True)
    choices = found.get("choices")
    if isinstance(choices, dict):
        choices = [choices]
    model, usage = found.get("model"), found.get("usage")
    return Chunk(
        model=model if isinstance(model, str) else None,
        choices=[_choice(item) for item in choices if isinstance(item, dict)] if isinstance(choices, list) else None,
        usage=_usage(usage) if isinstance(usage, dict) else None,
        error=found.get("error"),
        x_groq=found.get("x_groq"),
        timings=found.get("timings"),
        odd=True,
        data=msgspec.Raw(b"[]") if found.get("data") is not None else NO_DATA,
    )


def _choice(item: dict[str, Any]) -> Choice:
    reason = item.get("finish_reason")
    return Choice(
        index=number(item.get("index")),
        message=_message(item.get("message")),
        delta=_message(item.get("delta")),
        text=text_of(item.get("text"))[0],
        finish_reason=None if reason is None else words(reason),
    )


def _message(item: Any) -> Message | None:
    if isinstance(item, str):
        return Message(content=item)
    if not isinstance(item, dict):
        return None
    content, thought, others = text_of(item.get("content"))
    reasoning = next((item[name] for name in ("reasoning_content", "reasoning", "thinking") if item.get(name)), None)
    said, _, _ = text_of(reasoning)
    refusal, _, _ = text_of(item.get("refusal"))
    calls = item.get("tool_calls")
    if isinstance(calls, dict):
        calls = [calls]
    function = item.get("function_call")
    return Message(
        content=content,
        refusal=refusal,
        reasoning_content="".join(filter(None, (said, thought))) or None,
        tool_calls=[_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else None,
        function_call=_function(function) if isinstance(function, dict) else None,
        audio=item.get("audio"),
        images=item.get("images"),
        others=others or None,
    )


def _call(item: dict[str, Any]) -> ToolCall:
    function = item.get("function", item.get("custom", item if "name" in item else None))
    identifier = item.get("id")
    return ToolCall(
        index=number(item.get("index")),
        id=None if identifier is None else words(identifier),
        function=_function(function) if isinstance(function, dict) else None,
    )


def _function(item: dict[str, Any]) -> Function:
    name, arguments = item.get("name"), item.get("arguments", item.get("input"))
    return Function(
        name=None if name is None else words(name), arguments=None if arguments is None else words(arguments)
    )


def _usage(item: dict[str, Any]) -> Usage:
    prompt, completion = item.get("prompt_tokens_details"), item.get("completion_tokens_details")
    plain = {name: number(item.get(name)) for name in _PLAIN}
    return Usage(
        **plain,
        prompt_tokens_details=PromptDetails(number(prompt.get("cached_tokens"))) if isinstance(prompt, dict) else None,
        completion_tokens_details=(
            CompletionDetails(number(completion.get("reasoning_tokens"))) if isinstance(completion, dict) else None
        ),
    )


_PLAIN = tuple(name for name in Usage.__struct_fields__ if not name.endswith("_details"))
