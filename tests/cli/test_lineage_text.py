"""`flyball lineage`: the rows most like what was asked with their texts, whole ids, and no list without an end."""

from __future__ import annotations

import json
from pathlib import Path

import click

from flyball.cli.lineage_text import lineage_text
from flyball.data.rows import read_rows
from flyball.wiring import open_project
from record_samples import request_record
from small_shop import flyball, ok, ok_lines
from traffic_rows import add_payload, add_request


def test_an_answer_leads_to_the_rows_like_it_with_their_texts_first_and_counts_the_rest(shop: Path) -> None:
    row = next(read_rows(shop / "loop/dataset", "train"))
    release = ok_lines("models", cwd=shop)[0]["release"]
    record = request_record(release=release)
    body = {"request": {"messages": [{"role": "user", "content": row.text}]}, "answer": row.label}
    project = open_project(shop)
    try:
        with project.ledger.begin() as connection:
            add_request(connection, record)
            add_payload(
                connection,
                project="shop",
                id=record.id,
                subject="",
                sealed=None,
                redacted=json.dumps(body),
                expires_ms=2**50,
            )
    finally:
        project.close()

    found = ok("lineage", record.id, cwd=shop)
    first = found["nearest"][0]
    assert first["content_hash"] == row.row_id and first["likeness"] == 1.0
    assert first["texts"] == [{"role": "user", "content": row.text}, {"role": "assistant", "content": row.label}]
    assert len(found["rows"]) == 20 and found["rows_left_out"] > 100
    every = ok("lineage", record.id, "--all", cwd=shop)
    assert len(every["rows"]) == 20 + found["rows_left_out"] and every["rows_left_out"] == 0

    listed = flyball("requests", "--release", release[:12], cwd=shop).out
    assert record.id in listed and release[:12] in listed, "the digits that tables show find the same again"
    assert release in flyball("requests", record.id, cwd=shop).out
    assert "(none)" in flyball("requests", "--release", "elsewhere-v1", cwd=shop).out

    text = flyball("lineage", record.id, cwd=shop).out
    assert found["model"]["id"] in text and row.row_id in text and f"user: {' '.join(row.text.split())[:40]}" in text
    assert text.index("user: ") < text.index(f"rows  {len(every['rows'])}")
    assert len(text.splitlines()) < 40 and "(--all lists them)" in text


def test_a_text_that_would_steer_the_terminal_is_shown_as_plain_words_and_cut() -> None:
    row = {"source": "a.jsonl", "line": 3, "content_hash": "c" * 64, "split": "train", "likeness": 0.5}
    row["texts"] = [{"role": "user", "content": "\x1b[31mred\r\n" + "x" * 900}]
    text = click.unstyle(lineage_text({"request": {"id": "r"}, "nearest": [row], "rows": []}, 20))
    assert "\x1b" not in text and "user: [31mred xxx" in text and max(map(len, text.splitlines())) < 320
    assert "c" * 64 in text


def test_a_person_leads_to_whole_ids_one_a_line() -> None:
    row = {"source": "a.jsonl", "line": 3, "content_hash": "c" * 64, "split": "train"}
    made = {"d" * 64: [{"type": "ModelVersion", "id": "e" * 64}, {"type": "Release", "id": "f" * 64, "requests": 7}]}
    document = {"rows": [row] * 3, "datasets": ["d" * 64], "descendants": made}
    lines = click.unstyle(lineage_text(document, 2)).splitlines()
    assert {f"  {letter * 64}" for letter in "def"} <= set(lines)
    assert "answers  7" in lines and lines[-1] == "  … and 1 more (--all lists them)"
