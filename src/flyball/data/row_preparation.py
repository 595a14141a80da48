"""One raw row prepared: fields taken, text cleaned and redacted, people hashed; or the reason it is dropped."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from flyball.data.columns import holds, text_of, value_of
from flyball.data.config import DataConfig, SourceConfig
from flyball.data.conversations import Conversation, NotTurns, Turn, conversation_of, encode_turns
from flyball.data.deduplication import normal_form
from flyball.data.readers.raw_row import RawRow
from flyball.data.rows import Reject, Row, subject_hash
from flyball.data.splits import side_named
from flyball.errors import InputError
from flyball.inference.labels import label_text, one_form
from flyball.inference.preparation import TextPreparer
from flyball.privacy.redaction import redact
from flyball.records.canonical import canonical_json
from flyball.records.identifiers import canonical_identifier
from flyball.records.identity import keyed_hash

KEYED_HASH = re.compile(r"[0-9a-f]{64}")
PRODUCTION = "production"
"""Sources whose name begins so hold corrected answers whose subjects are keyed hashes already."""

MUCH_TOO_LONG = 20
"""A raw text of so many times the longest allowed is not prepared first: that much markup is in no text of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparer:
    """What is needed to prepare the rows of one source."""

    config: DataConfig
    source: SourceConfig
    name: str
    task: str
    key: bytes
    suppressed: frozenset[str]
    prepared: TextPreparer

    def prepare(self, raw: RawRow) -> Row | Reject:
        """The row, or the reject with its reason."""
        if raw.fields is None:
            return self._reject(raw, raw.problem, raw.detail)
        try:
            subject, group = self._people(raw.fields)
        except InputError as error:
            return self._reject(raw, "malformed", f"subject or group: {error.message}")
        if subject in self.suppressed:
            return self._reject(raw, "erased", "its subject asked to be erased", subject)
        try:
            asked, value = self._asked(raw.fields)
        except NotTurns as error:
            return self._reject(raw, "malformed", f"{self.source.fields.messages}: {error}", subject)
        label = self._label(value)
        if asked is not None and asked.later:
            asked = self._in_order(asked, value)
        problem = self._problem(raw.fields, asked.text if asked else None, value, label)
        if problem or asked is None:
            return self._reject(raw, *(problem or ("malformed", "nothing asked")), subject)
        if len(asked.text) > MUCH_TOO_LONG * self.config.clean.max_characters:
            return self._reject(raw, "too long", f"{len(asked.text)} characters", subject)
        steps, types = list(asked.steps), set[str]()
        turns = [Turn(turn.role, self._clean(turn.content, steps)) for turn in asked.asked]
        if problem := self._length_problem(Conversation(asked=tuple(turns), answer=None).text):
            return self._reject(raw, *problem, subject)
        turns = [Turn(turn.role, self._redacted(turn.content, types)) for turn in turns]
        text = Conversation(asked=tuple(turns), answer=None).text
        if label is not None and self.task == "chat":
            label = self._redacted(self.prepared(label)[0], types)
        kept = encode_turns(turns) if len(turns) > 1 else None
        rejected = self._rejected(raw.fields, label, types)
        named = [text, label, subject] if kept is None else [text, label, subject, kept]
        return Row(
            row_id=keyed_hash(self.key, "row", canonical_json(named).decode()),
            text=text,
            label=label,
            subject=subject,
            group=keyed_hash(self.key, "group", group or subject or normal_form(text)),
            source=self.name,
            line=raw.line,
            steps=(*dict.fromkeys(steps), *sorted(f"redact:{kind}" for kind in types)),
            turns=kept,
            rejected=rejected,
        )

    def declared(self, raw: RawRow) -> str | None:
        """The side that the row's own column says; None where there is none."""
        column = self.source.fields.split
        return side_named(value_of(raw.fields or {}, column)) if column else None

    def _clean(self, text: str, steps: list[str]) -> str:
        """A text prepared; the steps that changed it are added."""
        cleaned, done = self.prepared(text)
        steps += done
        return cleaned

    def _redacted(self, text: str, types: set[str]) -> str:
        """A text without personal data; the types of what it had are added."""
        redacted = redact(text, self.config.redact.name)
        types.update(redacted.counts)
        return redacted.text

    def _asked(self, fields: dict[str, Any]) -> tuple[Conversation | None, Any]:
        """What the row asks, None where that is no text; and the value of its answer."""
        names = self.source.fields
        answer = text_of(fields, names.label) if names.label else None
        if names.messages is None:
            text = text_of(fields, names.text)
            return (Conversation(asked=(Turn("user", text),), answer=None) if isinstance(text, str) else None), (
                answer_of(answer) if self.task == "chat" else answer
            )
        found = conversation_of(value_of(fields, names.messages), tools=fields.get("tools"))
        return found, (answer_of(answer) if answer is not None else found.answer)

    def _in_order(self, asked: Conversation, answer: Any) -> Conversation:
        """A conversation of questions alone with all of them, each to be asked after the answer to the one before.

        Beside an answer to learn or to compare with, only the first can be meant.
        """
        if self.task == "chat" and answer is None:
            return replace(asked, asked=(*asked.asked, *asked.later))
        return replace(asked, steps=(*asked.steps, "turns:later"))

    def _rejected(self, fields: dict[str, Any], label: str | None, types: set[str]) -> str | None:
        """The answer that was not preferred, prepared as the one that was; None where there is none, or no other."""
        if not self.source.fields.rejected or self.task == "classification":
            return None
        value = text_of(fields, self.source.fields.rejected)
        if self.source.fields.messages:
            with suppress(NotTurns):
                value = conversation_of(value).answer
        answer = self._label(answer_of(value))
        answer = None if answer is None else self._redacted(self.prepared(answer)[0], types)
        return None if answer == label else answer

    def _people(self, fields: dict[str, Any]) -> tuple[str | None, str | None]:
        subject = canonical_identifier(value_of(fields, self.source.fields.subject or ""))
        if subject and not (self.name.startswith(PRODUCTION) and KEYED_HASH.fullmatch(subject)):
            subject = subject_hash(self.key, subject)
        group = canonical_identifier(value_of(fields, self.source.fields.group or ""))
        same = self.source.fields.group == self.source.fields.subject
        return subject or None, None if same or not group else f"group:{group}"

    def _label(self, answer: Any) -> str | None:
        value = label_text(answer)
        if value is None:
            return None
        kept = value.lstrip("\r\n").rstrip()  # an answer of code keeps its indentation
        return (one_form(value) if self.task == "classification" else kept) or None

    def _problem(
        self, fields: dict[str, Any], text: str | None, answer: Any, label: str | None
    ) -> tuple[str, str] | None:
        names = self.source.fields
        if names.messages is None and not holds(fields, names.text):
            return "missing field", f"no {names.text}"
        if text is None:
            return "malformed", f"{names.text} is {kind_of(text_of(fields, names.text))}, not text"
        if label is None and names.label and (names.messages is None or holds(fields, names.label)):
            return "no label", f"{names.label} is {kind_of(answer)}"
        if names.split and side_named(value_of(fields, names.split)) == "":
            return "unknown split", f"{names.split} is none of train, validation and test"
        allowed = self.config.validate.labels
        if allowed is not None and self.task == "classification" and label not in {*map(one_form, allowed)}:
            return "unknown label", "not among data.validate.labels"
        return None

    def _length_problem(self, text: str) -> tuple[str, str] | None:
        limits = self.config.clean
        if len(text) < limits.min_characters:
            return "too short", f"{len(text)} characters"
        if len(text) > limits.max_characters:
            return "too long", f"{len(text)} characters"
        return None

    def _reject(self, raw: RawRow, reason: str, detail: str, subject: str | None = None) -> Reject:
        return Reject(row_id=None, source=self.name, line=raw.line, reason=reason, detail=detail, subject=subject)


def answer_of(value: Any) -> Any:
    """An answer of several forms as text: the last turn of an assistant, an object as JSON."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        try:
            return conversation_of([{"role": "user", "content": "?"}, *value]).answer
        except NotTurns:
            return None
    return value


def as_text(value: object) -> str | None:
    """An identifier as text; None for what is neither text nor a number."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


def kind_of(value: object) -> str:
    """A JSON type's name, for messages that must not show the value."""
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    if isinstance(value, str) and not value.strip():
        return "empty"
    return "missing or null" if value is None else names.get(type(value), type(value).__name__)
