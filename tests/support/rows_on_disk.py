"""Small sources written to disk and built into datasets, for the tests of `data`."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flyball.data.config import DataConfig, Fields, SourceConfig, SplitConfig, ValidateConfig
from flyball.data.dataset_stage import Source, build_dataset
from flyball.data.rows import REJECTS, SPLITS, Reject, Row, read_rejects, read_rows
from flyball.records import DatasetVersion

KEY = bytes(range(32))
FIELDS = Fields(text="text", label="label", subject="who")
LENIENT = ValidateConfig(min_rows=1, min_rows_per_label=1, max_dropped=1.0)
ADJECTIVES = ["red", "green", "blue", "heavy", "quiet", "broken", "shiny", "late", "early", "cheap"]
NOUNS = ["kettle", "tent", "lamp", "chair", "rug", "mug", "hose", "pillow", "camera", "toaster"]


def rows(count: int = 100) -> list[dict[str, Any]]:
    """Distinct rows of two labels by `count` / 2 people."""
    return [
        {
            "text": f"my {ADJECTIVES[n % 10]} {NOUNS[n // 10 % 10]} number {'abcdefghij'[n // 100 % 10]}{n % 7} is odd",
            "label": "ab"[n % 2],
            "who": f"p{n // 2}",
        }
        for n in range(count)
    ]


def write_lines(path: Path, lines: Iterable[Mapping[str, Any] | bytes]) -> Path:
    """A JSONL file (gzip when its name says so); bytes stand as they are."""
    body = b"".join(
        (line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()) + b"\n" for line in lines
    )
    path.write_bytes(gzip.compress(body) if path.suffix == ".gz" else body)
    return path


def config_of(*sources: SourceConfig, **parts: Any) -> DataConfig:
    """Data settings without rules about totals, unless given."""
    parts.setdefault("validate", LENIENT)
    return DataConfig(sources=sources, **parts)


def build(
    paths: Path | Sequence[Path],
    out: Path,
    *,
    splits: Sequence[str | None] = (None,),
    fields: Fields = FIELDS,
    task: str = "classification",
    suppressed: frozenset[str] = frozenset(),
    key: bytes = KEY,
    names: Sequence[str | None] = (),
    **parts: Any,
) -> DatasetVersion:
    """The dataset of these files; `splits` and `names` go with them one by one."""
    files = [paths] if isinstance(paths, Path) else list(paths)
    names = [*names, *[None] * len(files)]
    configs = [
        SourceConfig(path=str(path), fields=fields, split=msgspec.convert(split, Any), name=name)
        for path, split, name in zip(files, [*splits, *[None] * len(files)], names, strict=False)
    ]
    parts.setdefault("split", SplitConfig(validation=0.1, test=0.2))
    return build_dataset(
        config_of(*configs, **parts),
        project="shop",
        task=task,
        sources=[Source(config=config, path=path) for config, path in zip(configs, files, strict=True)],
        key=key,
        suppressed=suppressed,
        out=out,
    )


def everything(folder: Path) -> dict[str, list[Row]]:
    """The rows of every side."""
    return {split: list(read_rows(folder, split)) for split in SPLITS}


def all_rows(folder: Path) -> list[Row]:
    """The rows of all sides together."""
    return [row for side in everything(folder).values() for row in side]


def rows_of(folder: Path, subject: str) -> list[Row]:
    """The rows of the person with this keyed hash."""
    return [row for row in all_rows(folder) if row.subject == subject]


def rejects(folder: Path) -> list[Reject]:
    """The rows that were dropped."""
    assert (folder / f"{REJECTS}.parquet").is_file()
    return list(read_rejects(folder))
