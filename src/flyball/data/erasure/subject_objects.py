"""Whether stored contents without a name, such as DVC's objects, hold rows of one person. I/O: reads files.

An object is read as each source would be, and as its own bytes show: it may be an older content of that source.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

import msgspec

from flyball.data.columns import value_of
from flyball.data.config import SourceConfig
from flyball.data.erasure.subject_rows import SubjectIds, rows_of_person, sought
from flyball.data.readers.layout import encoding_of
from flyball.data.readers.source_file import open_plain
from flyball.data.readers.source_rows import format_of, read_source
from flyball.data.readers.text_folder import SUFFIXES
from flyball.errors import InputError

SAMPLE = 1000
"""Rows of which one must have the column of people, or the object is no content of that source."""
HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The sources whose older contents are looked for, and the key of their hashes."""

    sources: Sequence[tuple[Path, SourceConfig]]
    key: bytes

    def contents(self, objects: Iterable[Path], subject: str, names: Collection[str]) -> Iterator[tuple[Path, bool]]:
        """Those of the objects that read as a content of a source, each with whether a row or broken line is theirs."""
        wanted = [
            (path, config, who)
            for path, config in self.sources
            if (who := sought(path, config, subject, self.key, names)) and not _is_folder(path, config)
        ]
        if not wanted:
            return
        with tempfile.TemporaryDirectory() as folder:
            for found in objects:
                read = [_holds(found, Path(folder), path, config, who) for path, config, who in wanted]
                if any(one is not None for one in read):
                    yield found, any(read)

    def listed(self, listing: bytes, subject: str, names: Collection[str]) -> set[str]:
        """Of a listing of a folder ([{"md5", "relpath"}]): the digests of the person's text files."""
        try:
            entries = msgspec.json.decode(listing, type=list[dict[str, str]])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return set()
        whose = [
            who
            for path, config in self.sources
            if (who := sought(path, config, subject, self.key, names)) and _is_folder(path, config)
        ]
        return {entry["md5"] for entry in entries if "md5" in entry and any(_is_named(entry, who) for who in whose)}


def _is_folder(path: Path, config: SourceConfig) -> bool:
    if config.format is not None or path.is_dir():
        return config.format in ("text", None)
    try:
        return format_of(path, b"") == "text"
    except InputError:
        return True  # a folder that is gone has no suffix


def _is_named(entry: Mapping[str, str], who: SubjectIds) -> bool:
    path = PurePosixPath(entry.get("relpath", ""))
    return path.suffix.lower() in SUFFIXES and who.owns({"file": str(path), "folder": path.parent.name})


def _holds(content: Path, folder: Path, path: Path, config: SourceConfig, who: SubjectIds) -> bool | None:
    """Read as the source is now, else as what its own bytes show: it may have had another format or delimiter.

    None: it reads as neither.
    """
    try:
        name = _name_by_bytes(content)
    except InputError:
        return None  # gzip that cannot be unpacked
    shown = SourceConfig(path=name, fields=config.fields, encoding=config.encoding)
    now = _reads(content, folder / path.name, config, who)
    if now:
        return True
    before = _reads(content, folder / name, shown, who)
    return now if before is None else before


def _name_by_bytes(path: Path) -> str:
    if _is_binary(path):
        return "rows.parquet"
    with open_plain(path) as stream:
        begins_json = re.match(rb"[^\x21-\x7f]{0,99}[\[{]", stream.read(HEAD_BYTES)) is not None
    return "rows.jsonl" if begins_json else "rows.csv"


def _reads(content: Path, link: Path, config: SourceConfig, who: SubjectIds) -> bool | None:
    """Whether a row is the person's, None where this is no content of the source.

    The link gives the object the name by which readers know formats.
    """
    link.unlink(missing_ok=True)
    link.symlink_to(content.resolve())
    try:
        if _is_binary(link) != (format_of(link, b"", config.format) == "parquet"):
            return None
        rows = islice(read_source(link, config), SAMPLE)
        if not any(raw.fields is not None and value_of(raw.fields, who.field) is not None for raw in rows):
            return None
        return rows_of_person(link, config, who) > 0
    except InputError:
        return None  # no content of this source


def _is_binary(path: Path) -> bool:
    with open_plain(path) as stream:
        head = stream.read(HEAD_BYTES)
    return b"\0" in head and not encoding_of(path, head)[0].startswith(("utf-16", "utf-32"))
