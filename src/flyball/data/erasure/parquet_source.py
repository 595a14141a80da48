"""A Parquet file without some of its rows, in bounded memory. I/O: reads one file, writes another.

Row groups, types, metadata and compression stay; a row group that would not fit into memory unpacked becomes several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from flyball.data.readers.parquet import BATCH_BYTES, batches_in, slices_in_memory
from flyball.data.rows import require_parquet


def write_without(path: Path, mine: Sequence[bool], target: BinaryIO) -> None:
    """All rows but those marked in `mine`, in their order."""
    parquet = require_parquet()
    import pyarrow as pa  # heavy; see require_parquet

    schema = parquet.read_schema(path)
    at = 0
    with parquet.ParquetFile(path) as file:
        groups, compression = file.metadata.num_row_groups, _compression(file.metadata)
    with parquet.ParquetWriter(target, schema, compression=compression) as writer:
        for group in range(groups):
            pending: list[Any] = []
            size = 0
            for part in _parts(path, group):
                kept = part.filter(pa.array([not one for one in mine[at : at + part.num_rows]]))
                at += part.num_rows
                pending.append(pa.Table.from_batches([kept]).cast(schema))
                size += pending[-1].nbytes
                if size > BATCH_BYTES:
                    writer.write_table(pa.concat_tables(pending))
                    pending, size = [], 0
            if pending:
                writer.write_table(pa.concat_tables(pending))


def _parts(path: Path, group: int) -> Iterator[Any]:
    for batch in batches_in(path, [group]):
        yield from slices_in_memory(batch)


def _compression(metadata: Any) -> str | dict[str, str]:
    """How each column is packed, by its path."""
    if not metadata.num_row_groups:
        return "snappy"
    columns = [metadata.row_group(0).column(number) for number in range(metadata.num_columns)]
    names = {"UNCOMPRESSED": "none", "LZ4_RAW": "lz4"}
    return {column.path_in_schema: names.get(column.compression, column.compression.lower()) for column in columns}
