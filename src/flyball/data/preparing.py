"""One raw row prepared: fields taken, text cleaned and redacted, people hashed; or the reason it is dropped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flyball.data.config import DataConfig, SourceConfig
from flyball.data.duplicates import normal_form
from flyball.data.readers.raw_row import RawRow
from flyball.data.rows import Reject, Row, subject_hash
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
        text, label = raw.fields.get(self.source.fields.text), self._label(raw.fields)
        problem = self._problem(raw.fields, text, label)
        if problem:
            return self._reject(raw, *problem, subject)
        if len(str(text)) > MUCH_TOO_LONG * self.config.clean.max_characters:
            return self._reject(raw, "too long", f"{len(str(text))} characters", subject)
        cleaned, steps = self.prepared(str(text))
        if problem := self._length_problem(cleaned):
            return self._reject(raw, *problem, subject)
        redacted = redact(cleaned, self.config.redact.profile)
        types = set(redacted.counts)
        if label is not None and self.task == "chat":
            answer = redact(self.prepared(label)[0], self.config.redact.profile)
            label, types = answer.text, types | set(answer.counts)
        return Row(
            row_id=keyed_hash(self.key, "row", canonical_json([redacted.text, label, subject]).decode()),
            text=redacted.text,
            label=label,
            subject=subject,
            group=keyed_hash(self.key, "group", group or subject or normal_form(redacted.text)),
            source=self.name,
            line=raw.line,
            steps=(*steps, *(f"redact:{kind}" for kind in sorted(types))),
        )

    def _people(self, fields: dict[str, Any]) -> tuple[str | None, str | None]:
        subject = canonical_identifier(fields.get(self.source.fields.subject or ""))
        if subject and not (self.name.startswith(PRODUCTION) and KEYED_HASH.fullmatch(subject)):
            subject = subject_hash(self.key, subject)
        group = canonical_identifier(fields.get(self.source.fields.group or ""))
        same = self.source.fields.group == self.source.fields.subject
        return subject or None, None if same or not group else f"group:{group}"

    def _label(self, fields: dict[str, Any]) -> str | None:
        name = self.source.fields.label
        value = label_text(fields.get(name)) if name else None
        if value is None:
            return None
        kept = value.lstrip("\r\n").rstrip()  # an answer of code keeps its indentation
        return (one_form(value) if self.task == "classification" else kept) or None

    def _problem(self, fields: dict[str, Any], text: object, label: str | None) -> tuple[str, str] | None:
        names = self.source.fields
        if names.text not in fields:
            return "missing field", f"no {names.text}"
        if not isinstance(text, str):
            return "malformed", f"{names.text} is {kind_of(text)}, not text"
        if label is None and names.label:
            return "no label", f"{names.label} is {kind_of(fields.get(names.label))}"
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


def as_text(value: object) -> str | None:
    """An identifier as text; None for what is neither text nor a number."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


def kind_of(value: object) -> str:
    """A JSON type's name, for messages that must not show the value."""
    names = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return "missing or null" if value is None else names.get(type(value), type(value).__name__)
