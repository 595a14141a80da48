"""How a source is written: format, encoding, delimiter and quote, as set or as seen. Pure."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import msgspec

from flyball.errors import InputError

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
WESTERN = "cp1252"
OTHERS = ("cp1251", "gb18030", "shift_jis", "euc_kr", "big5")
"""Encodings that are named, never guessed, when a file is neither UTF-8 nor Western."""
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BYTE_ORDER = {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}
"""Python reads these only behind a mark; where a file has none, most programs mean these."""
_ROWS_INSIDE = re.compile(
    rb'"(?:rows|data|items|records|examples|instances|samples|documents|entries|results|train|test)" ?: ?\[\s{0,99}\{'
)
"""An object that holds rows under one of these names is a document of them, even where it is the one line of a file."""
_HIGH_WORD = re.compile(rb"[\x80-\xff]{4,}")
_WESTERN_LETTER = re.compile(rb"(?:[A-Za-z][\xc0-\xff]|[\xc0-\xff][a-z])")
_WESTERN_MARK = re.compile(rb"[\x80\x85\x91-\x97\xa3\xa9\xab\xae\xb0\xb4\xbb\xbf]")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the reader of a text file goes by; `returns_alone`: lines end with a carriage return and no line feed."""

    format: str
    encoding: str = "utf-8"
    bom: int = 0
    returns_alone: bool = False
    delimiter: str = ","
    quote: str = '"'
    escape: str = ""
    columns: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether bytes can be read as they stand."""
        return self.encoding == "utf-8" and not self.returns_alone

    def in_words(self, words: str, *, is_text: bool) -> str:
        """What a file is read as, for people; `words` name its format."""
        if not is_text:
            return words
        parts = [words]
        if self.format == "csv":
            parts += [f"delimiter {self.delimiter!r}", f"quote {self.quote}" if self.quote else "no quotes"]
            parts += ["quotes in quotes after a backslash"] if self.escape else []
            parts += ["no line of column names"] if self.columns else []
        parts.append(f"encoding {self.encoding}")
        parts += ["lines end with a carriage return alone"] if self.returns_alone else []
        return ", ".join(parts)


def is_json_document(head: bytes, *, whole: bool) -> bool:
    """Whether a file begins one JSON document of rows rather than one object a line."""
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    first, _, rest = start.partition(b"\n")
    if start.startswith(b"["):
        lines = bool(rest.strip()) and first.rstrip().endswith(b"]") and _is_json(first)
        return not lines and start[1:].lstrip()[:1] in (b"{", b"]", b"")
    if start.startswith(b"{") and _ROWS_INSIDE.search(start[:4096]) and not (rest.strip() and _is_json(first)):
        return True
    return whole and start.startswith(b"{") and not first.rstrip().endswith(b"}") and bool(rest.strip())


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def encoding_of(path: Path, head: bytes, declared: str | None = None) -> tuple[str, int]:
    """(the encoding, bytes of its mark) of a file by its first bytes; InputError when it is one that we cannot tell."""
    if declared is not None:
        name = codec_name(path, declared)
        for mark, encoding in _BOMS:
            if head.startswith(mark) and encoding[:6] == name[:6]:
                return encoding, len(mark)
        wide = name in _BYTE_ORDER and _wide_encoding(head)
        return wide or _BYTE_ORDER.get(name, name), 0
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, len(mark)
    if wide := _wide_encoding(head):
        return wide, 0
    bad = [line for line in head.split(b"\n")[:-1] or [head] if not line.isascii() and not is_utf8(line)]
    good = any(not line.isascii() and is_utf8(line) for line in head.split(b"\n")[:-1])
    if not bad or good:
        return "utf-8", 0
    sample = b"\n".join(bad)
    if len(_HIGH_WORD.findall(sample)) * 2 > len(bad):
        fitting = [name for name in OTHERS if _decodes(sample, name)]
        raise InputError(
            f"{path} is not UTF-8; it may be {', '.join(fitting) or 'in another encoding'}",
            cure="set data.sources[].encoding, or convert the file: iconv -f ENCODING -t UTF-8",
        )
    if _WESTERN_LETTER.search(sample) or _WESTERN_MARK.search(sample):
        return WESTERN, 0
    return "utf-8", 0


def codec_name(path: Path, declared: str) -> str:
    """Python's name of an encoding that somebody wrote down."""
    try:
        name = codecs.lookup(declared).name
        "".encode(name)
    except (LookupError, AttributeError, TypeError) as error:
        raise InputError(
            f"{path}: no encoding {declared!r}", cure="use utf-8, utf-16, cp1252, cp1251, gb18030, shift_jis or such"
        ) from error
    return {"utf-8-sig": "utf-8", "ascii": "utf-8"}.get(name, name)


def is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    return True


def _wide_encoding(head: bytes) -> str:
    """UTF-16 without a mark: every second byte of mostly ASCII text is zero."""
    sample = head[: 2 * (min(len(head), 4096) // 2)]
    if len(sample) < 4:
        return ""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > 0.6 * half and even < 0.1 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.6 * half and odd < 0.1 * half else ""


def ends_with_returns(text: str) -> bool:
    """Whether lines end with a carriage return alone, as old Macintosh programs write them."""
    return "\r" in text.rstrip("\r") and "\n" not in text


def escapes_quotes(text: str) -> bool:
    """Whether quotes inside quotes are written with a backslash, as MySQL and others write them."""
    return re.search(r'[^\\",;\t|]\\"[^",;\t|\r\n]', text) is not None


def delimiter_of(path: Path, text: str, quote: str) -> str:
    """The delimiter of the first lines: the one that splits the header and agrees most with the lines after it."""
    if marked := re.match(r"sep=(.)\r?\n", text):
        return marked[1]  # Excel says so itself
    named = {".tsv": "\t", ".tab": "\t", ".psv": "|"}
    for suffix in path.suffixes:
        if suffix.lower() in named:
            return named[suffix.lower()]
    plain = _QUOTED.sub("", text) if quote == '"' else text
    lines = [line for line in plain.splitlines()[:200] if line.strip()]
    if not lines:
        return ","
    best, best_score = ",", 0.0
    for delimiter in DELIMITERS.values():
        wanted = lines[0].count(delimiter)
        if not wanted:
            continue
        agreeing = Counter(line.count(delimiter) == wanted for line in lines[1:])[True]
        score = (agreeing + 1) / len(lines) + (0.01 if delimiter == "," else 0.0)
        if score > best_score:
            best, best_score = delimiter, score
    return best
