"""One person's rows leave versions and sources; everybody else's stay as they were."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flyball.data.config import DedupeConfig, Fields, SourceConfig, SplitConfig
from flyball.data.erasure.dataset import rewrite_without
from flyball.data.erasure.sources import rewrite_source
from flyball.data.rows import subject_hash
from flyball.data.text_profile import FILE, read_profile
from flyball.errors import EnvironmentMissing
from flyball.records import fingerprint
from rows_on_disk import FIELDS, KEY, all_rows, build, rejects, rows, write_lines

WHO = subject_hash(KEY, "p3")
CONFIG = SourceConfig(path="a", fields=FIELDS)


def test_a_version_without_a_person_holds_the_law_and_names_its_parent(tmp_path: Path) -> None:
    source = [*rows(100), {"text": "needle haystack words", "label": "a", "who": "p3"}, {**rows(8)[7], "who": "p3"}]
    version = build(write_lines(tmp_path / "a.jsonl", source), tmp_path / "out")
    others = [row for row in all_rows(tmp_path / "out") if row.subject != WHO]
    other_rejects = [reject for reject in rejects(tmp_path / "out") if reject.subject != WHO]
    erased, gone = rewrite_without(tmp_path / "out", WHO, tmp_path / "out", version, key=KEY)
    assert gone == 4
    assert all_rows(tmp_path / "out") == others
    assert rejects(tmp_path / "out") == other_rejects
    assert erased.parents == (fingerprint(version),)
    assert erased.rows_in == version.rows_in - 4 == len(others) + len(other_rejects)
    assert sum(source.rows for source in erased.sources) == erased.rows_in
    assert sum(erased.changed.values()) <= sum(version.changed.values())
    left = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert WHO.encode() not in left
    assert read_profile(tmp_path / "out" / FILE, KEY).n == next(s.rows for s in erased.splits if s.name == "train")


def test_without_a_row_of_the_person_nothing_is_written(tmp_path: Path) -> None:
    version = build(write_lines(tmp_path / "a.jsonl", rows(60)), tmp_path / "out")
    same, gone = rewrite_without(tmp_path / "out", subject_hash(KEY, "nobody"), tmp_path / "two", version, key=KEY)
    assert (same, gone) == (version, 0)
    assert not (tmp_path / "two").exists()


def test_erasing_from_the_source_and_building_again_gives_the_same_rows_as_rewriting_the_version(
    tmp_path: Path,
) -> None:
    path = write_lines(tmp_path / "a.jsonl.gz", rows(100))
    version = build(path, tmp_path / "out")
    erased, _ = rewrite_without(tmp_path / "out", WHO, tmp_path / "two", version, key=KEY)
    assert rewrite_source(path, CONFIG, WHO, KEY) == 2
    assert path.read_bytes()[:2] == b"\x1f\x8b", "gzip stays gzip"
    again = build(path, tmp_path / "three")
    assert again.splits == erased.splits
    assert again.rows_in == erased.rows_in


def test_broken_lines_that_name_the_person_go_and_other_lines_keep_their_bytes(tmp_path: Path) -> None:
    keep = [b'{"text": "a",   "who": "p33", "label":"x"}', b'{"broken": "p30"', b"", b'{"text": "\xff", "who": "p31"}']
    gone = [
        b'{"who": "p3", "text": "\xff"}',
        b'{"text": "a", "who": "p3',
        b'{"text":"b","who":"p3"}',
        b"exported for p3 today",
    ]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join([*keep, *gone]) + b"\n")
    path.chmod(0o640)
    assert rewrite_source(path, CONFIG, WHO, KEY) == len(gone)
    assert path.read_bytes() == b"\n".join(keep) + b"\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_person_who_stands_in_broken_lines_only_is_found_by_the_field(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"who": "p3", "text": "\xff"}\n{"who": "p4", "text": "ok"}\n')
    assert rewrite_source(path, CONFIG, WHO, KEY) == 1
    assert path.read_bytes() == b'{"who": "p4", "text": "ok"}\n'


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
def test_other_formats_lose_exactly_the_persons_rows(tmp_path: Path, name: str) -> None:
    wanted: list[dict[str, Any]] = rows(20)
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.Table.from_pylist(wanted), path)
    else:
        with (tmp_path / "plain.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["text", "label", "who"])
            writer.writeheader()
            writer.writerows([*wanted, {"text": "two\nlines", "label": "a", "who": "p3"}])
        data = (tmp_path / "plain.csv").read_bytes()
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert rewrite_source(path, CONFIG, WHO, KEY) == (2 if name == "a.parquet" else 3)
    from flyball.data.readers.source_rows import read_source

    assert [row.fields for row in read_source(path)] == [row for row in wanted if row["who"] != "p3"]
    assert rewrite_source(path, CONFIG, WHO, KEY) == 0


def test_production_sources_are_matched_by_the_hash_that_they_hold(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "production.jsonl", [{"text": "a", "label": "b", "who": WHO}, {"text": "c", "who": "f" * 64}]
    )
    assert rewrite_source(path, CONFIG, WHO, KEY) == 1
    assert json.loads(path.read_text())["who"] == "f" * 64


def test_a_source_without_people_is_left_alone(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", rows(4))
    assert rewrite_source(path, SourceConfig(path="a"), WHO, KEY) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_environment_error(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", rows(10))
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(EnvironmentMissing, match="cannot rewrite"):
            rewrite_source(path, CONFIG, WHO, KEY)
    finally:
        tmp_path.chmod(0o700)


def test_the_rejected_answers_of_a_person_go_with_their_rows_and_from_the_count(tmp_path: Path) -> None:
    lines = [
        {"q": f"question {n}", "chosen": f"good {n}", "rejected": f"bad {n}", "who": f"p{n % 5}"} for n in range(20)
    ]
    fields = Fields(text="q", label="chosen", rejected="rejected", subject="who")
    version = build(
        write_lines(tmp_path / "a.jsonl", lines),
        tmp_path / "out",
        fields=fields,
        task="chat",
        dedupe=DedupeConfig(near=None),
        split=SplitConfig(validation=0.0, test=0.5),
    )
    after, gone = rewrite_without(tmp_path / "out", subject_hash(KEY, "p1"), tmp_path / "less", version, key=KEY)
    assert (version.pairs, gone, after.pairs) == (20, 4, 16)
    assert "bad 1" not in {row.rejected for row in all_rows(tmp_path / "less")}
