"""The parts of a DatasetVersion: the same content has the same fingerprint in any order and at any path. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from flyball.data.config import DataConfig, SourceConfig
from flyball.records import SourceRef, SplitRef, fingerprint_of

LAYOUT = ("format", "encoding", "delimiter", "quote", "columns", "markup")
FIELDS_OF_LATER = ("messages", "split", "rejected")
"""Settings that came later: left out where they are not set, so that old datasets keep their names."""


DIGEST_BYTES = 32


def source_ref(name: str, digests: bytes | bytearray) -> SourceRef:
    """A source by the hash over the sorted hashes of its rows: packing, path and order of the file do not matter.

    `digests` are those hashes one after another, 32 bytes each: of millions, objects of their own would fill memory.
    """
    import pyarrow as pa  # heavy; a dataset is Parquet, so it is here

    rows = len(digests) // DIGEST_BYTES
    hashes = pa.FixedSizeBinaryArray.from_buffers(pa.binary(DIGEST_BYTES), rows, [None, pa.py_buffer(digests)])
    content = memoryview(hashes.sort().buffers()[1])[: rows * DIGEST_BYTES]
    return SourceRef(name=name, content_hash=hashlib.sha256(content).hexdigest(), rows=rows)


def split_ref(name: str, row_ids: Iterable[str]) -> SplitRef:
    """One side by the hash over its sorted row ids."""
    ordered = sorted(row_ids)
    return SplitRef(name=name, rows=len(ordered), content_hash=hashlib.sha256("\n".join(ordered).encode()).hexdigest())


def settings_fingerprint(config: DataConfig, sources: Sequence[tuple[str, SourceConfig]]) -> str:
    """The settings that decide rows: no paths, and nothing of `production`, which decides only what is collected."""
    return fingerprint_of(
        {
            "sources": [
                {
                    "name": name,
                    "fields": _set(msgspec.to_builtins(source.fields), FIELDS_OF_LATER),
                    "split": source.split,
                    **{name: value for name in LAYOUT if (value := getattr(source, name)) is not None},
                }
                for name, source in sorted(sources, key=lambda pair: pair[0])
            ],
            **{
                part: msgspec.to_builtins(getattr(config, part))
                for part in ("clean", "redact", "dedupe", "validate", "split")
            },
        }
    )


def _set(values: dict[str, Any], later: Sequence[str]) -> dict[str, Any]:
    """Settings without those of later that are not set."""
    return {name: value for name, value in values.items() if name not in later or value is not None}
