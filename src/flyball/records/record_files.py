"""A record as a JSON file: what a stage of the build writes beside its outputs. I/O: one file, replaced atomically."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from flyball.errors import CorruptionError, NotFoundError
from flyball.records import JSON, KINDS, Record
from flyball.records.canonical import canonical_bytes, canonical_json, fingerprint, parse
from flyball.whole_files import replace_file


def write_document(path: Path, record: Record, recorded: Mapping[str, JSON] | None = None) -> None:
    """Write a record with what was recorded beside it; a reader sees the whole file or none."""
    kind = type(record)
    document = {
        "type": kind.__name__,
        "version": kind.VERSION,
        "fingerprint": fingerprint(record),
        "content": msgspec.json.decode(canonical_bytes(record))["content"],  # fields of later on are left out there
        "recorded": dict(recorded or {}),
    }
    content = msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=1)
    replace_file(path, content, durable=False)


def read_document(path: Path) -> tuple[Record, Mapping[str, JSON]]:
    """The record in a file and what was recorded beside it; NotFoundError or CorruptionError otherwise."""
    if not path.is_file():
        raise NotFoundError(f"no record at {path}", cure="run `flyball run`, or `dvc pull` in a colleague's clone")
    try:
        document = msgspec.json.decode(path.read_bytes())
        kind = KINDS[document["type"]]
        body = canonical_json({name: document[name] for name in ("type", "version", "content")})
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise CorruptionError(f"{path} is not a record: {error}", cure="run `dvc checkout` to restore it") from error
    record: Record = parse(body, kind)
    if fingerprint(record) != document["fingerprint"]:
        raise CorruptionError(f"{path} does not match its fingerprint", cure="run `dvc checkout` to restore it")
    return record, document["recorded"]
