"""Which rows and lines of a source are one person's: the search that erasing and its proof share. I/O: reads files.

The rows are those that the readers see, so that what was collected is what is found, however short a name is and
however a file spells it. A line that cannot be read counts when it names the person.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from flyball.data.columns import value_of
from flyball.data.config import SourceConfig
from flyball.data.readers.json_document import element_spans
from flyball.data.readers.jsonl import json_row
from flyball.data.readers.layout import Layout
from flyball.data.readers.physical_lines import physical_lines
from flyball.data.readers.raw_row import RawRow
from flyball.data.readers.source_file import open_utf8
from flyball.data.readers.source_rows import look, read_source
from flyball.data.readers.text_folder import text_files
from flyball.data.row_preparation import KEYED_HASH, PRODUCTION
from flyball.data.rows import subject_hash
from flyball.errors import InputError
from flyball.records.identifiers import canonical_identifier, canonical_text

_BETWEEN = re.compile(r"""[\s"',;|:{}\[\]()<>]+""")
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/]))')
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
OVERLAP = 4096
"""Bytes of one piece of a line that are looked through again with the next: no name is longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectIds:
    """A person in one source: by the keyed hash of the value in `field`, or by name in lines that cannot be read.

    `hashed`: the source may hold the keyed hash itself.
    """

    subject: str
    key: bytes
    field: str
    hashed: bool = False
    names: frozenset[str] = frozenset()

    def owns(self, fields: Mapping[str, Any]) -> bool:
        """Whether a row that was read is the person's."""
        found = value_of(fields, self.field)
        try:
            value = canonical_identifier(found)
        except InputError:
            return self.named_in(str(found))  # a list of people, say: such a row is not collected
        if not value:
            return False
        return (value if self.hashed and KEYED_HASH.fullmatch(value) else subject_hash(self.key, value)) == self.subject

    def named_in(self, text: str) -> bool:
        """Whether a text that could not be read names the person, as a word or by a known name, escaped or not."""
        known = [re.escape(name) for name in self.names if name.strip()]
        anywhere = re.compile(r"(?<!\w)(?:" + "|".join(sorted(known)) + r")(?!\w)") if known else None
        called = {canonical_text(name) for name in self.names} - {None}
        return any(
            (anywhere is not None and anywhere.search(reading) is not None)
            or any(
                word in called
                or (word and not called and subject_hash(self.key, word) == self.subject)
                or (self.hashed and word == self.subject)
                for word in {canonical_text(word.rstrip(".")) for word in _BETWEEN.split(reading)}
            )
            for reading in readings(text)
        )


def sought(
    path: Path, config: SourceConfig, subject: str, key: bytes, names: Collection[str] = ()
) -> SubjectIds | None:
    """Whom to look for in a source; None where its rows are about nobody."""
    if not config.fields.subject:
        return None
    return SubjectIds(
        subject=subject,
        key=key,
        field=config.fields.subject,
        hashed=(config.name or path.name).startswith(PRODUCTION),
        names=frozenset(names),
    )


def readings(text: str) -> set[str]:
    """A text as it stands, and with the escapes of JSON and the doubled quotes of CSV undone."""
    plain = unicodedata.normalize("NFC", text)
    unescaped = _ESCAPE.sub(lambda match: match[2] or chr(int(match[1], 16)), text)
    unescaped = _PAIR.sub(lambda match: match[0].encode("utf-16", "surrogatepass").decode("utf-16"), unescaped)
    return {plain, unicodedata.normalize("NFC", unescaped), plain.replace('""', '"')}


def rows_of_person(path: Path, config: SourceConfig, who: SubjectIds) -> int:
    """How many rows of a source, or lines of it that cannot be read, are the person's; it changes nothing."""
    layout, _ = look(path, config)
    if layout.format in ("jsonl", "csv"):
        return find_lines(path, config, layout, who)[0]
    if layout.format == "json":
        return len(find_elements(path, config, layout, who)[1])
    if layout.format == "text" and path.is_dir() and not text_files(path):
        return 0  # the reader refuses a folder without texts
    return sum(is_persons(raw, who) for raw in read_source(path, config))


def is_persons(raw: RawRow, who: SubjectIds) -> bool:
    """Whether a row is the person's; one that cannot be read, by what the reader says of it."""
    return who.owns(raw.fields) if raw.fields is not None else who.named_in(raw.detail)


def find_lines(path: Path, config: SourceConfig, layout: Layout, who: SubjectIds) -> tuple[int, set[int]]:
    """(how many rows and broken lines are the person's, the numbers of all their physical lines)."""
    gone: set[int] = set()
    broken: set[int] = set()
    called = set(who.names)
    rows = 0
    for raw in read_source(path, config):
        lines = range(raw.line, raw.line + raw.lines)
        if raw.fields is None:
            broken.update(lines)
        elif who.owns(raw.fields):
            gone.update(lines)
            rows += 1
            called.add(str(value_of(raw.fields, who.field)))
    if not broken:
        return rows, gone
    known = replace(who, names=frozenset(called))
    naming: set[int] = set()
    last, tail = 0, b""
    for number, piece in physical_lines(path, layout):
        if number in broken and number not in naming:
            before = tail if number == last else b""
            if known.named_in((before + piece).decode(layout.encoding, "replace")):
                naming.add(number)
            last, tail = number, (before + piece)[-OVERLAP:]
    return rows + len(naming), gone | naming


def find_elements(
    path: Path, config: SourceConfig, layout: Layout, who: SubjectIds
) -> tuple[bytes, list[tuple[int, int]]]:
    """(a JSON document as UTF-8, what has to be cut out of it: the person's elements and the comma beside each)."""
    with open_utf8(path, layout) as stream:
        content = stream.read()
    try:
        msgspec.json.decode(content, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        next(read_source(path, config), None)  # the reader says what is wrong with it
        raise
    decode = msgspec.json.Decoder().decode
    cuts: list[tuple[int, int]] = []
    for spans in element_spans(content):
        rows = [json_row(decode, 1, content[begin:end], b"") for begin, end in spans]
        called = {str(value_of(row.fields, who.field)) for row in rows if row.fields and who.owns(row.fields)}
        known = replace(who, names=who.names | called)
        before = False
        for place, (row, (begin, end)) in enumerate(zip(rows, spans, strict=True)):
            detail = content[begin:end].decode("utf-8", "replace") if row.fields is None else ""
            if not (known.named_in(detail) if row.fields is None else known.owns(row.fields)):
                before = True
            elif before:
                cuts.append((spans[place - 1][1], end))
            else:
                cuts.append((begin, spans[place + 1][0] if place + 1 < len(spans) else end))
    return content, cuts


def as_in_file(text: bytes, layout: Layout) -> bytes:
    """UTF-8 bytes of a reader as they stand in the file."""
    if layout.plain:
        return text
    plain = text.decode("utf-8", "surrogateescape")
    plain = plain.replace("\n", "\r") if layout.returns_alone else plain
    wide = layout.encoding.startswith(("utf-16", "utf-32"))
    return plain.encode(layout.encoding, "replace" if wide else "surrogateescape")


def subjects_of(path: Path, config: SourceConfig) -> set[str]:
    """Everybody whom the rows of a source are about, by canonical name."""
    found = set()
    for raw in read_source(path, config):
        try:
            name = canonical_identifier(value_of(raw.fields or {}, config.fields.subject or ""))
        except InputError:
            continue
        if name:
            found.add(name)
    return found
