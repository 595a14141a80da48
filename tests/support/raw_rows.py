"""Raw test rows through a gateway: what a client's own texts score, beside what the gate decided on."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import openai

from flyball.data.rows import read_rows


@dataclass(frozen=True)
class RawRow:
    """A row of the test side as it stands in its source, before any cleaning; `cleaned` is what was tested."""

    source: str
    text: str
    label: str
    cleaned: str


def raw_test_rows(root: Path, sources: Mapping[str, Path], *, label: str = "label") -> list[RawRow]:
    """The test side of a project's dataset, read again from its JSONL sources (by the names that rows know them by)."""
    lines = {name: path.read_text(encoding="utf-8").split("\n") for name, path in sources.items()}
    rows = []
    for row in read_rows(root / "loop/dataset", "test"):
        raw = json.loads(lines[row.source][row.line - 1])
        rows.append(RawRow(source=row.source, text=raw["text"], label=raw[label], cleaned=row.text))
    return rows


def shares_right(gateway: str, rows: Sequence[RawRow], *, model: str) -> tuple[float, dict[str, float]]:
    """The share of raw rows that a client of the gateway gets the right label for: of all, and by source."""
    client = openai.OpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=2, timeout=60)

    def is_right(row: RawRow) -> bool:
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": row.text}])
        return answer.choices[0].message.content == row.label

    with ThreadPoolExecutor(4) as pool:
        right = list(pool.map(is_right, rows))
    by_source: dict[str, list[bool]] = defaultdict(list)
    for row, one in zip(rows, right, strict=True):
        by_source[row.source].append(one)
    return sum(right) / len(right), {source: sum(ones) / len(ones) for source, ones in by_source.items()}
