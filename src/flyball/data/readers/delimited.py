"""CSV, TSV and other delimited text: every physical line ends in a row or a named problem. I/O: reads a file.

RFC 4180, read strictly: a quoted cell ends with a quote before a delimiter or the end of a line. A quote that opens and
never closes so costs its own line and no other: reading goes on in the next line. A cell that closes only because a
later record happens to hold a quote is told from a text of several lines by what it swallowed: lines that are records.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from flyball.data.readers.known_values import KnownValues
from flyball.data.readers.layout import Layout
from flyball.data.readers.raw_row import MAX_COLUMNS, MAX_LINE_BYTES, RawRow
from flyball.data.readers.source_file import lines_of, open_utf8
from flyball.data.readers.source_format import SourceFormat
from flyball.errors import InputError

SWALLOWED = 0.8
"""Share of lines inside a quoted cell that must be records of their own for its quote to be a stray one."""
MAX_HEADER_LINES = 50


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line: its number, text and digest, and what is wrong with it."""

    number: int
    text: str
    digest: bytes
    problem: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Record:
    """Consecutive lines, and their cells where the quotes are right."""

    lines: Sequence[Line]
    cells: list[str] | None
    fault: str = ""


class Lines:
    """The lines of a stream, of which some can be given back."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._coming = lines_of(path, stream, blank=True)
        self._back: deque[Line] = deque()

    def take(self) -> Line | None:
        """The next line, or None at the end."""
        if self._back:
            return self._back.popleft()
        for number, line, digest in self._coming:
            if line is None:
                return Line(number, "", digest, ("line too long", f"over {MAX_LINE_BYTES} bytes"))
            try:
                return Line(number, line.decode("utf-8"), digest)
            except UnicodeDecodeError as error:
                fault = ("not UTF-8", f"{error.reason} at byte {error.start}")
                return Line(number, line.decode("utf-8", "replace"), digest, fault)
        return None

    def give_back(self, lines: Sequence[Line]) -> None:
        """Take these lines again."""
        self._back.extendleft(reversed(lines))


class CellScanner:
    """Splits lines into cells; a cell may go on in the next line."""

    def __init__(self, layout: Layout) -> None:
        self.delimiter, self.quote, self.escape = layout.delimiter, layout.quote, layout.escape
        self.cells: list[str] = []
        self.open: list[str] | None = None
        one = re.escape(self.quote)
        self._doubled = re.compile(rf"\\([\\{one}])|{one}{one}" if self.escape else f"({one}){one}")

    def begin(self) -> None:
        """A new record."""
        self.cells, self.open = [], None

    def scan(self, line: str) -> bool:
        """Take in one line; False when a quoted cell ends in its midst. `open` says whether one goes on."""
        at, quote, delimiter = 0, self.quote, self.delimiter
        if self.open is not None:
            self.open.append("\n")
        while True:
            if self.open is None:
                begin = at
                while line.startswith(" ", begin):
                    begin += 1
                if not (quote and line.startswith(quote, begin)):
                    end = line.find(delimiter, at)
                    if end < 0:
                        self.cells.append(line[at:])
                        return True
                    self.cells.append(line[at:end])
                    at = end + len(delimiter)
                    continue
                self.open, at = [], begin + 1
            end = self._closing(line, at)
            self.open.append(self._doubled.sub(lambda match: match[1] or quote, line[at:end]))
            if end == len(line):
                return True
            self.cells.append("".join(self.open))
            self.open, at = None, end + 1
            while line.startswith(" ", at):
                at += 1
            if at == len(line):
                return True
            if not line.startswith(delimiter, at):
                return False
            at += len(delimiter)

    def _closing(self, line: str, at: int) -> int:
        """Where the quote stands that ends the cell; the line's length when none does."""
        while (end := line.find(self.quote, at)) >= 0:
            before = end
            while self.escape and before > at and line[before - 1] == self.escape:
                before -= 1
            if (end - before) % 2:
                at = end + 1
            elif line.startswith(self.quote, end + 1):
                at = end + 2
            else:
                return end
        return len(line)


def delimited_rows(path: Path, layout: Layout, head: str) -> Iterator[RawRow]:
    """Every record of the file as a row; `head` is its beginning."""
    with open_utf8(path, layout) as stream:
        lines = Lines(path, stream)
        header = _header(path, lines, layout)
        yield from _Records(lines, layout, header, KnownValues(head, layout.delimiter, layout.quote, len(header)))


def _header(path: Path, lines: Lines, layout: Layout) -> list[str]:
    first = lines.take()
    if first is not None and re.fullmatch(r"sep=.", first.text):
        first = lines.take()
    while first is not None and not first.text.strip() and not first.problem[0]:
        first = lines.take()
    if first is None:
        return []
    if layout.columns:
        lines.give_back([first])
        return list(layout.columns)
    if first.problem[0]:
        raise InputError(f"{path}: its first line is {first.problem[0]}", cure="set data.sources[].encoding")
    found = read_record(first, lines, layout, MAX_HEADER_LINES)
    if found.cells is None:
        raise InputError(f"{path}: {found.fault} in its first line", cure="close it, or set data.sources[].quote")
    names = [" ".join(cell.split()) or f"column_{number}" for number, cell in enumerate(found.cells, 1)]
    if len(names) > MAX_COLUMNS:
        raise InputError(f"{path} has {len(names):,} columns, more than {MAX_COLUMNS:,}", cure="leave some out")
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"{path}: a column name occurs twice: {', '.join(twice)}", cure="rename one of them")
    return names


def read_record(first: Line, lines: Lines, layout: Layout, most: int) -> Record:
    """The record that begins in `first`; where its quotes are wrong, only `first` is taken from `lines`."""
    if not layout.quote or layout.quote not in first.text:
        return Record([first], first.text.split(layout.delimiter))
    scanner, taken, size = CellScanner(layout), [first], len(first.text)
    line: Line | None = first
    while True:
        assert line is not None
        if not scanner.scan(line.text):
            fault = "a quote closes within a cell"
            break
        if scanner.open is None:
            return Record(taken, scanner.cells)
        line = lines.take()
        if line is None:
            fault = "a quote opens and never closes"
            break
        taken.append(line)
        size += len(line.text) + 1
        if size > MAX_LINE_BYTES or len(taken) > most:
            fault = f"a quote opens and does not close within {MAX_LINE_BYTES} bytes"
            break
        if line.problem[0] == "line too long":
            fault = "a quote opens and does not close before a line that is too long"
            break
    lines.give_back(taken[1:])
    if len(taken) > 1:
        fault = "a quote opens and does not close in this record"
    return Record([first], None, fault)


class _Records:
    """The records of a file after its header, one RawRow each."""

    def __init__(self, lines: Lines, layout: Layout, header: list[str], known: KnownValues) -> None:
        self.lines, self.layout, self.header, self.known = lines, layout, header, known
        self.suspect = 0
        """The line whose quote never closed, until a line is surely a record again."""

    def __iter__(self) -> Iterator[RawRow]:
        while (first := self.lines.take()) is not None:
            if not first.digest and not first.text:
                continue  # blank
            if first.problem[0]:
                yield _problem([first], *first.problem)
                continue
            yield self._row(first)

    def _row(self, first: Line) -> RawRow:
        found = read_record(first, self.lines, self.layout, MAX_LINE_BYTES)
        if found.cells is None:
            return self._stray(first, found.fault)
        taken, cells = found.lines, found.cells
        if len(taken) > 1 and self._swallowed(taken):
            self.lines.give_back(taken[1:])
            return self._stray(first, f"a quote opens and would swallow {len(taken) - 1} records")
        broken = next((line.problem for line in taken if line.problem[0]), None)
        if broken:
            return _problem(taken, *broken)
        if len(cells) > len(self.header) and not any(cell.strip() for cell in cells[len(self.header) :]):
            cells = cells[: len(self.header)]  # delimiters at the end of each line, as some programs write them
        if len(cells) != len(self.header):
            wrong = f"{len(cells)} columns where the header has {len(self.header)}"
            return _problem(taken, "malformed", wrong)
        if self.suspect and (self._closes_alone(first.text) or not self.known.fits(cells)):
            rest = f"may be the rest of the quote that line {self.suspect} opens"
            self.suspect = 0 if self._closes_alone(first.text) else self.suspect
            return _problem(taken, "unclosed quote", rest)
        self.suspect = 0
        return self._good(taken, cells)

    def _good(self, taken: Sequence[Line], cells: list[str]) -> RawRow:
        fields = dict(zip(self.header, cells, strict=True))
        return RawRow(line=taken[0].number, digest=_digest(taken), fields=fields, lines=_span(taken))

    def _stray(self, first: Line, fault: str) -> RawRow:
        """A line whose quotes are wrong: read as it stands where that is sure, else a problem of its own."""
        literal = first.text.split(self.layout.delimiter)
        even = first.text.count(self.layout.quote) % 2 == 0
        if even and len(literal) == len(self.header) and self.known.fits(literal):
            return self._good([first], literal)
        self.suspect = 0 if even else first.number
        hint = 'set data.sources[].quote to "" if quotes mean nothing there'
        return _problem([first], "unclosed quote", f"{fault}; {hint}")

    def _swallowed(self, taken: Sequence[Line]) -> bool:
        """Whether lines within one quoted cell are records: as many cells as the header, and values that are known."""
        split = [line.text.split(self.layout.delimiter) for line in taken]
        records = [cells for cells in split if len(cells) == len(self.header)]
        if len(self.header) < 2 or len(records) < SWALLOWED * len(taken):
            return False
        if self.known.any:
            return sum(map(self.known.fits, records)) >= SWALLOWED * len(taken)
        return len(taken) >= (4 if len(self.header) > 2 else 6)

    def _closes_alone(self, text: str) -> bool:
        """Whether a line holds a quote that closes what it did not open."""
        quote = self.layout.quote
        if not quote or text.count(quote) % 2 == 0:
            return False
        return re.search(f"{re.escape(quote)}(?:{re.escape(self.layout.delimiter)}|$)", text) is not None


def _problem(taken: Sequence[Line], problem: str, detail: str) -> RawRow:
    return RawRow(line=taken[0].number, digest=_digest(taken), problem=problem, detail=detail, lines=_span(taken))


def _span(taken: Sequence[Line]) -> int:
    return taken[-1].number - taken[0].number + 1


def _digest(taken: Sequence[Line]) -> bytes:
    digest = hashlib.sha256()
    for line in taken:
        digest.update(line.digest)
    return digest.digest()


FORMAT = SourceFormat(
    name="csv",
    suffixes=(".csv", ".tsv", ".tab", ".psv"),
    words="delimited text",
    rows=lambda path, layout, head, _config: delimited_rows(path, layout, head),
)
