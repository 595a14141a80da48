"""Messages of a chat request: checked where they enter, and unable to forge the markers of a chat template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flyball.errors import InputError

ROLES = ("system", "developer", "user", "assistant", "tool")


def neutralise(text: str) -> str:
    """`text` without markers such as <|end|>, for releases that do not name their model's own control tokens."""
    return text.replace("<|", "< |") if "<|" in text else text


def content_text(content: object) -> str:
    """The text of a message's content: a string, or the list of parts of the OpenAI API (text parts only)."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise InputError(f"a message's content is a {type(content).__name__}", cure="send a string or text parts")
    parts = []
    for part in content:
        if not isinstance(part, Mapping) or not isinstance(text := part.get("text"), str):
            raise InputError(
                "a message has a part that is not text", cure='send {"type": "text", "text": …} parts only'
            )
        parts.append(text)
    return "\n".join(parts)


def messages_of(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The messages of a chat body; InputError names the one that is wrong."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InputError("the request has no messages", cure='send "messages": [{"role": "user", "content": "…"}]')
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or message.get("role") not in ROLES:
            role = message.get("role") if isinstance(message, Mapping) else message
            raise InputError(f"message {index} has the role {role!r}", cure=f"use one of {', '.join(sorted(ROLES))}")
    return messages


def with_head(
    system: str, examples: Sequence[Mapping[str, Any]], turns: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """What an engine is asked: one system message where anything is said in it, a release's examples, the turns."""
    head = [{"role": "system", "content": system}] if system else []
    return [*head, *examples, *turns]


def last_user_text(messages: list[Mapping[str, Any]]) -> str:
    """What the user said last; InputError when no message is the user's."""
    for message in reversed(messages):
        if message["role"] == "user":
            return content_text(message.get("content"))
    raise InputError("no message has the role user", cure="end the conversation with a user's message")
