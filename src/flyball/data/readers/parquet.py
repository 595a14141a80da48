"""Parquet, in batches that fit into memory, however often a value is repeated. I/O: reads a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flyball.data.readers.raw_row import MAX_COLUMNS, MAX_LINE_BYTES, RawRow
from flyball.data.readers.source_file import MAX_RATIO, require_file
from flyball.data.readers.source_format import SourceFormat
from flyball.errors import EnvironmentMissing, InputError

BATCH = 1000
BATCH_BYTES = 32 * 1024 * 1024
FREE_BYTES = 64 * 1024 * 1024
"""Unpacked bytes of a row group below which the ratio does not matter."""


def parquet_rows(path: Path) -> Iterator[RawRow]:
    """Every row of the file."""
    require_file(path)
    try:
        import pyarrow as pa  # heavy, and in the `build` extra: a JSONL project does without it until it writes
        import pyarrow.parquet as pq
    except ImportError as error:
        raise EnvironmentMissing("pyarrow is not installed", cure='pip install "flyball[build]"') from error
    try:
        number = 0
        classes = class_names(pq.read_schema(path).metadata)
        for batch in batches_in(path):
            for row in _plain_rows(_microseconds(batch)):
                number += 1
                yield _row(number, row, classes)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} is not a readable Parquet file: {error}", cure="check or write the file again"
        ) from error


def batches_in(path: Path, groups: Sequence[int] | None = None) -> Iterator[Any]:
    """Batches of the file, or of some of its row groups; texts in them stay dictionaries, as often as they repeat."""
    import pyarrow.parquet as pq  # see parquet_rows

    with pq.ParquetFile(path, read_dictionary=_repeated(path, pq.read_schema(path))) as file:
        _check_size(path, file.metadata)
        yield from file.iter_batches(batch_size=BATCH, row_groups=groups)


def _repeated(path: Path, schema: Any) -> list[str]:
    """The columns of text, which stay dictionaries while they are read."""
    import pyarrow as pa  # see parquet_rows

    names = list(schema.names)
    if len(names) > MAX_COLUMNS:
        raise InputError(f"{path} has {len(names):,} columns, more than {MAX_COLUMNS:,}", cure="leave some out")
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"{path}: a column name occurs twice: {', '.join(twice)}", cure="rename one of them")
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return [field.name for field in schema if any(kind(field.type) for kind in kinds) and "." not in field.name]


def _check_size(path: Path, metadata: Any) -> None:
    size = max(1, path.stat().st_size)
    for group in range(metadata.num_row_groups):
        unpacked = metadata.row_group(group).total_byte_size
        if unpacked > max(FREE_BYTES, MAX_RATIO * size):
            raise InputError(
                f"{path} unpacks to more than {MAX_RATIO} times its size", cure="write it again in smaller row groups"
            )


def _microseconds(batch: Any) -> Any:
    """The batch with times in microseconds, which is what Python has; finer digits go."""
    import pyarrow as pa  # see parquet_rows

    columns = []
    for column in batch.columns:
        kind = column.type
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            column = column.cast(pa.timestamp("us", tz=kind.tz), safe=False)
        elif pa.types.is_duration(kind) and kind.unit == "ns":
            column = column.cast(pa.duration("us"), safe=False)
        elif pa.types.is_time64(kind) and kind.unit == "ns":
            column = column.cast(pa.time64("us"), safe=False)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _plain_rows(batch: Any) -> Iterator[dict[str, Any] | str]:
    """The rows of a batch as Python values, or what is wrong with one."""
    for part in slices_in_memory(batch):
        try:
            yield from part.to_pylist()
        except (ValueError, OverflowError):
            for at in range(part.num_rows):
                try:
                    yield part.slice(at, 1).to_pylist()[0]
                except (ValueError, OverflowError) as error:
                    yield str(error).split("\n")[0][:200]


def slices_in_memory(batch: Any) -> Iterator[Any]:
    """The batch in slices of so many rows as fit into memory unpacked."""
    widest = sum(_widest(column) for column in batch.columns)
    step = max(1, min(BATCH, BATCH_BYTES // max(1, widest)))
    if widest > 4 * MAX_LINE_BYTES:
        step = 1
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)


def _widest(column: Any) -> int:
    """Bytes that one value of a dictionary column has at most; about those of a mean value in others."""
    import pyarrow as pa  # see parquet_rows
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        if not len(column.dictionary):
            return 1
        kind = column.dictionary.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
            return int(pc.max(pc.binary_length(column.dictionary)).as_py() or 1)
    return int(column.nbytes // max(1, len(column))) + 1


def class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """The names of a column's classes, which Hugging Face's datasets keep beside the numbers."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        found = {name: one["names"] for name, one in features.items() if one.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return {}
    return {
        name: names
        for name, names in found.items()
        if isinstance(names, list) and all(isinstance(one, str) for one in names)
    }


def _named(value: Any, names: list[str]) -> Any:
    """A class by its name; None for -1, which says that the class is not known."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    return names[value] if 0 <= value < len(names) else None


def _row(number: int, found: dict[str, Any] | str, classes: dict[str, list[str]]) -> RawRow:
    if isinstance(found, str):
        digest = hashlib.sha256(f"{number}:{found}".encode()).digest()
        return RawRow(line=number, digest=digest, problem="malformed", detail=found)
    plain = json.dumps(found, sort_keys=True, default=str, ensure_ascii=True)
    fields = {name: _named(value, classes[name]) if name in classes else value for name, value in found.items()}
    return RawRow(line=number, digest=hashlib.sha256(plain.encode()).digest(), fields=fields)


FORMAT = SourceFormat(
    name="parquet",
    suffixes=(".parquet", ".pq"),
    words="Parquet",
    rows=lambda path, _layout, _head, _config: parquet_rows(path),
    is_text=False,
)
