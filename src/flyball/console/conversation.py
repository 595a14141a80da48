"""A stored, redacted payload as the messages that a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from flyball.records import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message: who said it, and what."""

    role: str
    text: str


def turns(redacted: str | None) -> tuple[Turn, ...]:
    """The messages sent, then the answer; whatever has another shape is shown as it is, never hidden."""
    if redacted is None:
        return ()
    try:
        document = msgspec.json.decode(redacted)
    except msgspec.DecodeError:
        return (Turn(role="text", text=redacted),)
    if not isinstance(document, Mapping):
        return (Turn(role="text", text=document if isinstance(document, str) else redacted),)
    found = (*_asked(document), *_answered(document))
    return found or (Turn(role="text", text=redacted),)


def prompt_line(found: tuple[Turn, ...]) -> str:
    """What the person asked last."""
    asked = [turn.text for turn in found if turn.role in ("user", "prompt", "text")]
    return " ".join(asked[-1].split()) if asked else ""


def answer_line(found: tuple[Turn, ...]) -> str:
    """What was answered."""
    answers = [turn.text for turn in found if turn.role == "answer"]
    return " ".join(answers[-1].split()) if answers else ""


def _asked(document: Mapping[str, JSON]) -> tuple[Turn, ...]:
    request = document.get("request", document)
    if isinstance(request, str):
        return (Turn(role="prompt", text=request),)
    if not isinstance(request, Mapping):
        return ()
    messages = request.get("messages")
    if isinstance(messages, list):
        return tuple(
            Turn(role=str(message.get("role", "message")), text=_text(message.get("content")))
            for message in messages
            if isinstance(message, Mapping)
        )
    for key in ("prompt", "input"):
        if key in request:
            return (Turn(role="prompt", text=_text(request[key])),)
    return ()


def _answered(document: Mapping[str, JSON]) -> tuple[Turn, ...]:
    choices = document.get("choices")
    if isinstance(choices, list) and choices:
        return tuple(turn for choice in choices for turn in _turns_of(choice))
    for key in ("answer", "response", "completion", "output"):
        answer = document.get(key)
        if isinstance(answer, str):
            return (Turn(role="answer", text=answer),)
        if isinstance(answer, Mapping):
            return _answered({"choices": answer.get("choices"), "answer": _text(answer.get("content", answer))})
    return ()


def _turns_of(choice: JSON) -> tuple[Turn, ...]:
    """What one of several choices thought, and what it said."""
    reasoning = choice.get("reasoning") if isinstance(choice, Mapping) else None
    thought = (Turn(role="reasoning", text=_text(reasoning)),) if reasoning else ()
    return (*thought, Turn(role="answer", text=_choice(choice)))


def _choice(choice: JSON) -> str:
    """The text of a choice; whatever it said beside, such as a tool call, as JSON."""
    if not isinstance(choice, Mapping):
        return _text(choice)
    said = choice.get("message", choice)
    if not isinstance(said, Mapping):
        return _text(said)
    audio = said.get("audio")
    parts = [
        _text(said.get("content", said.get("text"))),
        _text(said.get("refusal")),
        _text(audio.get("transcript")) if isinstance(audio, Mapping) else "",
        *(_text(said[name]) for name in ("tool_calls", "function_call", "parts", "other") if said.get(name)),
    ]
    return "\n".join(part for part in parts if part)


def _text(value: JSON) -> str:
    """Content as text: a string, or the text parts of a list."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in value]
        if parts and all(isinstance(part, str) for part in parts):
            return "\n".join(str(part) for part in parts)
    return msgspec.json.encode(value).decode()
