"""Conversations of any usual form as turns and an answer: OpenAI messages, ShareGPT, lists and transcripts. Pure.

The last assistant turn is the answer, everything before it is asked. What was asked keeps its roles as far as an engine
knows them: tools' results are turns of the user, calls of tools are the assistant's JSON.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

ROLES = {
    **dict.fromkeys(("user", "human", "prompter", "customer", "instruction", "query", "question"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "chatbot", "model", "ai", "chatgpt", "agent", "answer"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "function_response"), "tool"),
    **dict.fromkeys(("function_call", "tool_call"), "assistant"),
}
ROLE_KEYS, CONTENT_KEYS = ("role", "from", "speaker", "author"), ("content", "value", "text", "message", "utterance")
_TRANSCRIPT = re.compile(r"(?:^|\n)[^\S\n]{0,64}+(Human|User|Assistant|AI|System)\s{0,8}+:\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What is asked, turn by turn, the answer to it if there is one, and what was left out of the row.

    `later` are questions that follow on an answer which the row does not have.
    """

    asked: tuple[Turn, ...]
    answer: str | None
    steps: tuple[str, ...] = ()
    later: tuple[Turn, ...] = ()

    @property
    def text(self) -> str:
        """What the sides said, without what only the system said."""
        return "\n\n".join(turn.content for turn in self.asked if turn.role != "system")


class NotTurns(ValueError):
    """The value is no conversation; says why."""


def conversation_of(value: Any, *, tools: Any = None) -> Conversation:
    """The conversation in a column; NotTurns for what is none."""
    turns = turns_of(value)
    if tools:
        turns.insert(0, Turn("system", "Tools: " + json.dumps(tools, ensure_ascii=False, default=str)))
    turns = _one_system(turns)
    answers = [place for place, turn in enumerate(turns) if turn.role == "assistant" and turn.content.strip()]
    steps, later = [], list[Turn]()
    if answers:
        asked, answer = turns[: answers[-1]], turns[answers[-1]].content
        if answers[-1] < len(turns) - 1:
            steps.append("turns:unanswered")
    else:
        users = [place for place, turn in enumerate(turns) if turn.role == "user"]
        first = users[0] + 1 if users else len(turns)
        asked, answer = turns[:first], None
        later = [turn for turn in turns[first:] if turn.role == "user" and turn.content.strip()]
    if not any(turn.role == "user" and turn.content.strip() for turn in asked):
        raise NotTurns("no turn of a user before the answer")
    return Conversation(asked=tuple(asked), answer=answer, steps=tuple(steps), later=tuple(later))


def turns_of(value: Any) -> list[Turn]:
    """The turns of a list of messages, a list of texts, a transcript, or any of them as JSON."""
    if isinstance(value, str):
        if value.lstrip()[:1] in ("[", "{"):
            try:
                return turns_of(msgspec.json.decode(value))
            except (msgspec.DecodeError, RecursionError):
                pass
        return _transcript(value)
    if isinstance(value, Mapping):
        inner = next((value[name] for name in ("messages", "conversations", "turns") if name in value), None)
        if inner is None:
            raise NotTurns("an object without messages")
        return turns_of(inner)
    if not isinstance(value, Sequence) or not value:
        raise NotTurns("empty" if value in (None, []) else f"a {type(value).__name__}, not turns")
    if all(isinstance(turn, str) for turn in value):
        return [Turn("user", turn) for turn in value]
    return [_turn(turn) for turn in value]


def _turn(turn: Any) -> Turn:
    if not isinstance(turn, Mapping):
        raise NotTurns("a turn that is no object")
    said = next((turn[name] for name in ROLE_KEYS if isinstance(turn.get(name), str)), None)
    role = ROLES.get(str(said).strip().casefold())
    if role is None:
        raise NotTurns("a turn without a role" if said is None else "a role that is not known")
    content = _content(next((turn[name] for name in CONTENT_KEYS if turn.get(name) is not None), None))
    calls = turn.get("tool_calls") or turn.get("function_call")
    if calls:
        content = "\n".join(filter(None, [content, _calls(calls)]))
    return Turn("user", f"Tool result: {content}") if role == "tool" else Turn(role, content)


def _content(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = []
        for part in content:
            text = part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None
            if not isinstance(text, str):
                raise NotTurns("a part that is not text")
            parts.append(text)
        return "\n".join(parts)
    return json.dumps(content, ensure_ascii=False, default=str)


def _calls(calls: Any) -> str:
    """Calls of tools as JSON: names and arguments, without the ids that every run makes again."""
    listed = calls if isinstance(calls, list) else [calls]
    plain = []
    for call in listed:
        function = call.get("function", call) if isinstance(call, Mapping) else call
        if not isinstance(function, Mapping):
            raise NotTurns("a call of a tool that is no object")
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            with contextlib.suppress(ValueError, RecursionError):
                arguments = json.loads(arguments)
        plain.append({"name": function.get("name"), "arguments": arguments})
    return json.dumps(plain[0] if len(plain) == 1 else plain, ensure_ascii=False, default=str)


def _transcript(text: str) -> list[Turn]:
    """Turns of a text in which `Human:` and `Assistant:` stand before what each said."""
    marks = list(_TRANSCRIPT.finditer(text))
    if not marks or not {"human", "user"} & {mark[1].casefold() for mark in marks}:
        raise NotTurns("a text without turns")
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return [
        Turn(ROLES[mark[1].casefold()], text[mark.end() : end].strip()) for mark, end in zip(marks, ends, strict=True)
    ]


def _one_system(turns: list[Turn]) -> list[Turn]:
    """What the system says comes first, in one turn: more of them are known to few templates."""
    said = [turn.content for turn in turns if turn.role == "system" and turn.content.strip()]
    others = [turn for turn in turns if turn.role != "system"]
    return [Turn("system", "\n\n".join(said)), *others] if said else others


def encode_turns(turns: Sequence[Turn]) -> str:
    """Turns as a row keeps them."""
    return msgspec.json.encode([{"role": turn.role, "content": turn.content} for turn in turns]).decode()
