"""Rows as the model is asked them: what the prompt path sends, in its chat template, and then the answer. Pure.

Every answer of an assistant in a row is learned, each up to the token that ends it. The last is what the engine would
write behind its prompt. Earlier ones stand in that prompt: they are learned where the template wrote them behind the
same words that ask for an answer, and where their tokens are those of the whole prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from flyball.errors import InputError
from flyball.inference.messages import with_head
from flyball.inference.preparation import cut
from flyball.inference.templates import render
from flyball.records import Message
from flyball.training.examples import Encode, Example, LabelledText, Refusal, Span

MARK = "\ue000text\ue000"  # stands for a text while a template is taken apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a release puts before a row's turns; with `labels` only the user's last text is asked, as in production."""

    system: str = ""
    examples: tuple[Message, ...] = ()
    labels: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFormat:
    """A model's chat template and the texts of its tokens; `ending` closes an answer, `closing` one with turns behind.

    `closing` is empty where the template has no token for that.
    """

    template: str
    tokens: Mapping[str, str]
    ending: str
    closing: str


class Renderer:
    """Renders rows for one model: `encode` splits text, `harmless` breaks its control tokens, `head` comes first.

    `answers` are tokens of answers that are one entry of the vocabulary.
    """

    def __init__(
        self,
        form: ChatFormat,
        *,
        encode: Encode,
        harmless: Callable[[str], str],
        head: Head,
        answers: Callable[[str], list[int] | None],
    ) -> None:
        self._form, self._encode, self._harmless, self._head, self._answers = form, encode, harmless, head, answers
        self._examples = [{"role": one.role, "content": one.content} for one in head.examples]
        self._knows_system = knows_system(form)

    def __call__(self, row: LabelledText, most: int | None) -> Example | Refusal:
        """The example of a labelled row whose texts are cut after `most` characters, or why the template refuses it."""
        given = self._turns(row)
        turns = [Message(role=turn.role, content=self._harmless(cut(turn.content, most))) for turn in given]
        messages, first = self._asked(turns)
        try:
            prompt = self._render(messages)
            ids = self._encode(prompt)
            whole = [len(before.content) <= (most or len(before.content)) for before in given]
            learned = [first + at for at, turn in enumerate(turns) if turn.role == "assistant" and whole[at]]
            spans = self._earlier(messages, learned, prompt, ids)
        except InputError as error:
            return Refusal(error.message)
        answer = self._answer(row.label or "")
        return Example((*ids, *answer), (*spans, (len(ids), len(ids) + len(answer))), shortened=not all(whole))

    def _turns(self, row: LabelledText) -> Sequence[Message]:
        turns = msgspec.json.decode(row.turns, type=list[Message]) if row.turns else []
        if self._head.labels and turns:
            turns = [next((turn for turn in reversed(turns) if turn.role == "user"), turns[-1])]
        return turns or [Message(role="user", content=row.text)]

    def _asked(self, turns: Sequence[Message]) -> tuple[list[Mapping[str, Any]], int]:
        """The messages as the prompt path sends them, and where `turns[0]` stands among them (or would)."""
        system = [self._head.system] if self._head.system else []
        system += [turn.content for turn in turns if turn.role == "system"]
        others = [{"role": turn.role, "content": turn.content} for turn in turns if turn.role != "system"]
        messages = with_head("\n\n".join(system), self._examples, others)
        if not self._knows_system:
            messages = merged(messages)
        return messages, len(messages) - len(turns)

    def _render(self, messages: Sequence[Mapping[str, Any]]) -> str:
        return render(self._form.template, messages, add_generation_prompt=True, **self._form.tokens)

    def _answer(self, answer: str) -> list[int]:
        one = self._answers(answer)
        return one if one is not None else self._encode(self._harmless(answer) + self._form.ending)

    def _earlier(
        self, messages: Sequence[Mapping[str, Any]], learned: Sequence[int], prompt: str, ids: Sequence[int]
    ) -> list[Span]:
        """The places in `ids` of the answers at these places among the messages; none where tokens span their ends."""
        pieces, at = [], 0
        for place in learned if self._form.closing else ():
            before = self._render(messages[:place])
            said = messages[place]["content"]
            if not prompt.startswith(f"{before}{said}{self._form.closing}"):
                said = said.strip()  # many templates write it so
            if said and prompt.startswith(f"{before}{said}{self._form.closing}"):
                end = len(before) + len(said) + len(self._form.closing)
                pieces += [prompt[at : len(before)], prompt[len(before) : end]]
                at = end
        if not pieces:
            return []
        parts = [self._encode(piece) if piece else [] for piece in (*pieces, prompt[at:])]
        if [token for part in parts for token in part] != list(ids):
            return []
        ends = [sum(map(len, parts[: number + 1])) for number in range(len(parts))]
        return [(ends[number - 1], ends[number]) for number in range(1, len(parts), 2)]


def merged(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Messages for a template that knows no system: its words stand before the next message, as llama.cpp does it."""
    if len(messages) < 2 or messages[0]["role"] != "system":
        return list(messages)
    first, second, *others = messages
    return [{**second, "content": f"{first['content']}\n{second['content']}"}, *others]


def knows_system(form: ChatFormat) -> bool:
    """Whether the template writes what the system says."""
    turns = [{"role": "system", "content": MARK}, {"role": "user", "content": "?"}]
    try:
        return MARK in render(form.template, turns, add_generation_prompt=True, **form.tokens)
    except InputError:
        return False


def chat_format(template: str, tokens: Mapping[str, str], special: Sequence[str]) -> ChatFormat:
    """How `template` ends an answer; InputError where nothing says so. `special` are the model's control tokens."""
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": MARK}]
    rendered = render(template, turns, add_generation_prompt=False, **tokens)
    _, found, rest = rendered.rpartition(MARK)
    end = tokens["eos_token"]
    if not found or not end:
        raise InputError("the chat template or the tokenizer has no end of an answer", cure="set eos_token")
    ending = rest[: rest.index(end) + len(end)] if end in rest else rest.rstrip() + end
    ends = [(rest.index(token), -len(token)) for token in {*special, end} if token and token in rest]
    place, size = min(ends, default=(0, 0))
    return ChatFormat(template=template, tokens=dict(tokens), ending=ending, closing=rest[: place - size])
