"""The layouts in which others write cases: which column asks, which one answers, and what a row says so. Pure.

Known by their columns: text and label, question and answer, prompt and completion or chosen, instruction with input
and output, OpenAI's `messages` (the last answer is the expected one), ShareGPT's `conversations`, `input` and `ideal`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from flyball.inference.labels import label_text
from flyball.inference.messages import content_text
from flyball.records import Message

Case = tuple[tuple[Message, ...], str]
QUESTIONS = (
    *("messages", "conversations", "conversation", "text", "prompt", "instruction", "question", "query", "utterance"),
    *(
        "sentence",
        "input",
        "inputs",
        "user_input",
        "request",
        "problem",
        "content",
        "message",
        "review",
        "tweet",
        "comment",
    ),
)
ANSWERS = (
    *("expected", "expected_output", "expected_answer", "ideal", "label", "labels", "completion", "response", "output"),
    *("best_answer", "correct_answer", "answer", "answers", "reply", "chosen", "reference", "ground_truth", "gold"),
    *("target", "solution", "intent", "category", "class", "sentiment", "topic", "tag"),
)
BESIDES = {"instruction": ("input", "context"), "question": ("context", "passage")}
"""Columns whose text belongs to the question of another, where they have any."""
ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "ai"), "assistant"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Which columns make a case; `answer` None: the last message of the conversation is the expected answer."""

    question: str
    answer: str | None
    beside: str | None = None

    def __str__(self) -> str:
        asked = f"{self.question} with {self.beside}" if self.beside else self.question
        return f"{asked} → {self.answer or 'the last answer in it'}"


def layout_of(columns: Sequence[str], *, text: str | None = None, label: str | None = None) -> Layout | None:
    """The layout with these columns, by the ones given, else by their names; None where no name is known."""
    known: dict[str, str] = {}
    for column in columns:
        known.setdefault(plain(column), column)
    question = text or next((known[name] for name in QUESTIONS if name in known), None)
    if question is None:
        return None
    others = {name: column for name, column in known.items() if column != question}
    beside = None
    if text is None:
        beside = next((others[name] for name in BESIDES.get(plain(question), ()) if name in others), None)
    answer = label or next((others[name] for name in ANSWERS if name in others and others[name] != beside), None)
    if answer is None and plain(question) not in ("messages", "conversations", "conversation"):
        return None
    return Layout(question=question, answer=answer, beside=beside)


def plain(column: str) -> str:
    """A column's name as the tables have it."""
    return re.sub(r"[\s-]+", "_", column.strip().casefold())


def case_of(row: Mapping[str, Any], layout: Layout) -> tuple[Case, bool]:
    """What a row asks and expects, and whether it has further answers that do not count; ValueError says what lacks."""
    messages = messages_in(value_of(row, layout.question), layout.question)
    if layout.beside and (more := str(row.get(layout.beside) or "").strip()):
        last = messages[-1]
        messages = (*messages[:-1], Message(role=last.role, content=f"{last.content}\n\n{more}"))
    if layout.answer is None:
        *before, last = messages
        if last.role != "assistant":
            raise ValueError(f"{layout.question} does not end with an answer")
        messages, expected, several = tuple(before), last.content, False
    else:
        expected, several = answer_in(value_of(row, layout.answer), layout.answer)
    if not messages or messages[-1].role != "user":
        raise ValueError(f"the last message of {layout.question} must be the user's")
    return (messages, expected), several


def value_of(row: Mapping[str, Any], column: str) -> Any:
    """What a row has in a column."""
    if column not in row:
        raise ValueError(f"the key {column!r} is missing")
    return row[column]


def messages_in(value: Any, column: str) -> tuple[Message, ...]:
    """A question as messages: a text is the user's."""
    if isinstance(value, str):
        return (Message(role="user", content=value),)
    if not isinstance(value, list) or not all(isinstance(part, Mapping) for part in value):
        raise ValueError(f"{column} is not text")
    return tuple(map(message_in, cast(Iterable[Mapping[str, Any]], value)))


def message_in(part: Mapping[str, Any]) -> Message:
    """One message, in OpenAI's or ShareGPT's words."""
    role = str(part.get("role", part.get("from", "")))
    if role.casefold() not in ROLES:
        raise ValueError(f"a message has the role {role!r}, not one of {', '.join(ROLES)}")
    content = part.get("content", part.get("value"))
    return Message(
        role=cast(Literal["system", "user", "assistant"], ROLES[role.casefold()]), content=content_text(content)
    )


def answer_in(value: Any, column: str) -> tuple[str, bool]:
    """(the expected answer, whether there are others): a text, a number, or the first of several."""
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        value = value["text"]  # as SQuAD has it
    if isinstance(value, list) and value:
        if isinstance(value[-1], Mapping):
            return messages_in(value, column)[-1].content, False
        return answer_in(value[0], column)[0], len(set(map(str, value))) > 1
    answer = label_text(value)
    if answer is None:
        raise ValueError(f"{column} is {'missing or null' if value is None else 'neither text nor a number'}")
    if not answer:
        raise ValueError(f"{column} is empty")
    return answer, False
