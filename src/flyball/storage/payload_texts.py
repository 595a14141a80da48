"""What is said inside a payload: the user's last message, the answer, the correction.

A request's payload is JSON {"messages": […], "answer": TEXT}; a feedback's is {"correction": TEXT, "comment": TEXT}.
Reading is forgiving: whatever is not there is None, never an error, because one odd payload must not stop monitoring,
curation or erasure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from flyball.records import JSON


def payload_document(text: str | bytes | None) -> Mapping[str, JSON]:
    """The JSON object of a payload; empty when there is none or it is something else."""
    if not text:
        return {}
    try:
        document = msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return {}
    return document if isinstance(document, dict) else {}


def user_text(document: Mapping[str, JSON]) -> str | None:
    """What the user said last."""
    body = document.get("request", document.get("body", document))
    if not isinstance(body, Mapping):
        return body if isinstance(body, str) else None
    messages = body.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, Mapping) and message.get("role") == "user":
            return _content(message.get("content"))
    return _content(body.get("prompt", body.get("input")))


def answer_text(document: Mapping[str, JSON]) -> str | None:
    """What the model answered: the text itself, or the first choice of a chat or text completion."""
    for key in ("answer", "response", "completion"):
        found = document.get(key)
        if isinstance(found, Mapping):
            found = _first_choice(found)
        if found is not None:
            return _content(found)
    return None


def correction_text(document: Mapping[str, JSON]) -> str | None:
    """What the answer should have been."""
    return _content(document.get("correction"))


def same_answer(answer: str, truth: str) -> bool:
    """Whether an answer is the right one word for word; white space does not count."""
    return answer.split() == truth.split()


def _first_choice(answer: Mapping[str, JSON]) -> Any:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        return answer.get("content", answer.get("text"))
    message = choices[0].get("message")
    return message.get("content") if isinstance(message, Mapping) else choices[0].get("text")


def _content(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        return "\n".join(part for part in parts if isinstance(part, str)) or None
    return None
