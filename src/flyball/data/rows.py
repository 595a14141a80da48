"""Rows and rejects as they stand in a dataset folder. I/O: reads and writes Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from flyball.errors import CorruptionError, EnvironmentMissing, NotFoundError
from flyball.records.identity import keyed_hash

SPLITS = ("train", "validation", "test")
REJECTS = "rejects"
BATCH = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row that may be trained or tested on; `text` is redacted, people are keyed hashes, `line` is 1-based.

    `turns` is what was asked as JSON where it is more than one message: `text` then is what both sides said. `rejected`
    is an answer that was not preferred to `label`.
    """

    row_id: str
    text: str
    label: str | None
    subject: str | None
    group: str
    source: str
    line: int
    steps: tuple[str, ...]
    turns: str | None = None
    rejected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """One row that was dropped, and why; `detail` holds no personal text."""

    row_id: str | None
    source: str
    line: int
    reason: str
    detail: str
    subject: str | None


def subject_hash(key: bytes, subject: str) -> str:
    """The name of a person in rows, requests and findings."""
    return keyed_hash(key, "subject", subject)


def require_parquet() -> Any:
    """The pyarrow.parquet module; EnvironmentMissing names the extra that brings it."""
    try:
        import pyarrow.parquet  # heavy (.15 s) and in the `build` extra: loaded when a dataset is touched
    except ImportError as error:
        raise EnvironmentMissing("pyarrow is not installed", cure='pip install "flyball[build]"') from error
    return pyarrow.parquet


def schema_of(kind: type[Row] | type[Reject]) -> Any:
    """The Parquet columns of rows or rejects."""
    import pyarrow as pa  # see require_parquet

    types = {"line": pa.int64(), "steps": pa.list_(pa.string())}
    return pa.schema([pa.field(field.name, types.get(field.name, pa.string())) for field in fields(kind)])


class RowWriter:
    """Writes rows or rejects to one Parquet file in batches; a context manager."""

    def __init__(self, path: Path, kind: type[Row] | type[Reject]) -> None:
        parquet = require_parquet()
        self._schema = schema_of(kind)
        self._names = [field.name for field in fields(kind)]
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._pending: list[dict[str, Any]] = []
        self.rows = 0

    def write(self, row: Row | Reject) -> None:
        """Add one row."""
        self._pending.append({name: getattr(row, name) for name in self._names})
        self.rows += 1
        if len(self._pending) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa  # see require_parquet

        if self._pending:
            self._writer.write_table(pa.Table.from_pylist(self._pending, schema=self._schema))
            self._pending.clear()

    def close(self) -> None:
        """Write what is pending and the file's footer."""
        self._flush()
        self._writer.close()

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_rows(folder: Path, split: str) -> Iterator[Row]:
    """The rows of one side of a dataset, in the order of their ids."""
    for values in read_parquet(folder / f"{split}.parquet"):
        yield Row(**{**values, "steps": tuple(values["steps"] or ())})


def read_rejects(folder: Path) -> Iterator[Reject]:
    """The rows that were dropped, with their reasons."""
    for values in read_parquet(folder / f"{REJECTS}.parquet"):
        yield Reject(**values)


def first_rejects(folder: Path) -> dict[str, Reject]:
    """For each reason the first row that was dropped for it."""
    found: dict[str, Reject] = {}
    for reject in read_rejects(folder):
        known = found.setdefault(reject.reason, reject)
        if (reject.source, reject.line) < (known.source, known.line):
            found[reject.reason] = reject
    return found


def read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Every row of a Parquet file of ours as a dict, in batches."""
    parquet = require_parquet()
    import pyarrow as pa  # see require_parquet

    if not path.is_file():
        raise NotFoundError(f"no dataset file {path}", cure="run `flyball data`, or `dvc pull`")
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise CorruptionError(
            f"{path} cannot be read: {error}", cure="run `dvc checkout`, or `flyball data` again"
        ) from error
