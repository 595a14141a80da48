"""Corrected answers become training rows: redacted, the latest per request, nobody erased, no one author too loud."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from flyball.data.config import ProductionConfig
from flyball.errors import CorruptionError
from flyball.improvement.curation import FLOOR, curate
from flyball.storage import tables
from flyball.storage.ledger import Ledger, insert_new
from flyball.storage.traffic import Payload
from traffic_samples import ROUTE, Traffic

CONFIG = ProductionConfig()


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_corrected_answer_becomes_a_redacted_row_of_a_hashed_person(ledger: Ledger, tmp_path: Path) -> None:
    traffic, out = Traffic(ledger), tmp_path / "corrections.jsonl"
    request = traffic.ask("my mail is ada@example.com, where is my esim", user="C1")
    traffic.say(request, correction=" esim\n", user="C1")
    curated = curate(ledger, config=CONFIG, out=out, route=ROUTE)
    assert (curated.rows, curated.new, curated.skipped) == (1, 1, {})
    (row,) = rows(out)
    assert row["label"] == "esim" and row["id"] == request
    assert row["subject"] == traffic.key.hash("subject", "C1")
    assert "ada@example.com" not in row["text"] and "<EMAIL>" in row["text"] and "esim" in row["text"]


def test_the_latest_correction_wins_and_the_others_are_counted(ledger: Ledger, tmp_path: Path) -> None:
    traffic, out = Traffic(ledger), tmp_path / "c.jsonl"
    request, same, commented = traffic.ask_many(["where is my esim"] * 3)
    traffic.say(request, correction="roaming")
    traffic.say(request, correction="esim")
    traffic.say(same, correction="orders")
    traffic.say(commented, comment="thanks")
    curated = curate(ledger, config=CONFIG, out=out, route=ROUTE)
    assert [row["label"] for row in rows(out)] == ["esim"]
    assert curated.skipped == {"same_as_answer": 1, "superseded": 1}


def test_the_same_ledger_gives_the_same_bytes_and_other_routes_stay_out(ledger: Ledger, tmp_path: Path) -> None:
    traffic, out = Traffic(ledger), tmp_path / "c.jsonl"
    for number, request in enumerate(traffic.ask_many(["where is my esim"] * 20)):
        traffic.say(request, correction=f"label {number}")
    traffic.say(traffic.ask(route="other"), correction="x")
    curate(ledger, config=CONFIG, out=out, route=ROUTE)
    first = out.read_bytes()
    again = curate(ledger, config=CONFIG, out=out, route=ROUTE)
    assert out.read_bytes() == first and (again.rows, again.new) == (20, 0)
    assert curate(ledger, config=CONFIG, out=tmp_path / "all.jsonl").rows == 21


def test_erased_people_are_left_out_also_of_what_was_written_before(ledger: Ledger, tmp_path: Path) -> None:
    traffic, out = Traffic(ledger), tmp_path / "c.jsonl"
    for person in ("C1", "C2"):
        traffic.say(traffic.ask(user=person), correction="esim", user=person)
    assert curate(ledger, config=CONFIG, out=out).rows == 2
    erased = traffic.key.hash("subject", "C1")
    with ledger.begin() as connection:
        insert_new(connection, tables.suppressions, {"project": ledger.project, "hash": erased, "at_ms": 1})
    curated = curate(ledger, config=CONFIG, out=out)
    assert (curated.rows, curated.skipped) == (1, {"erased": 1})
    assert erased not in out.read_text()


def test_rows_of_an_earlier_curation_stay_when_their_payloads_are_gone(ledger: Ledger, tmp_path: Path) -> None:
    traffic, out = Traffic(ledger), tmp_path / "c.jsonl"
    traffic.say(traffic.ask(), correction="esim")
    curate(ledger, config=CONFIG, out=out)
    with ledger.begin() as connection:
        connection.execute(delete(tables.payloads))
    traffic.say(traffic.ask(), correction="roaming")
    assert curate(ledger, config=CONFIG, out=out).rows == 2
    assert [row["label"] for row in rows(out)] == ["esim", "roaming"]


def test_one_person_gives_at_most_a_share_of_the_rows(ledger: Ledger, tmp_path: Path) -> None:
    traffic, out = Traffic(ledger), tmp_path / "c.jsonl"
    for number in range(40):
        traffic.say(traffic.ask(user=f"C{number}"), correction="esim", user=f"C{number}")
    for _ in range(60):
        traffic.say(traffic.ask(user="poisoner"), correction="poison", user="poisoner")
    curated = curate(ledger, config=CONFIG, out=out)
    labels = [row["label"] for row in rows(out)]
    assert (labels.count("esim"), labels.count("poison")) == (40, FLOOR)
    assert curated.skipped == {"author_share": 60 - FLOOR}


def test_one_key_gives_at_most_half_of_the_rows_unless_it_is_the_only_author(ledger: Ledger, tmp_path: Path) -> None:
    traffic = Traffic(ledger)
    for _ in range(20):
        traffic.say(traffic.ask(key_id="loud"), correction="poison", key_id="loud")
    assert curate(ledger, config=CONFIG, out=tmp_path / "alone.jsonl").rows == 20
    for _ in range(4):
        traffic.say(traffic.ask(key_id="calm"), correction="esim", key_id="calm")
    assert curate(ledger, config=CONFIG, out=tmp_path / "both.jsonl").skipped == {"author_share": 8}


def test_never_more_rows_than_the_limit_and_the_newest_stay(ledger: Ledger, tmp_path: Path) -> None:
    traffic, out = Traffic(ledger), tmp_path / "c.jsonl"
    for number, request in enumerate(traffic.ask_many(["where is my esim"] * 10)):
        traffic.say(request, correction=f"label {number}")
    curated = curate(ledger, config=ProductionConfig(max_rows=3), out=out)
    assert [row["label"] for row in rows(out)] == ["label 7", "label 8", "label 9"]
    assert curated.skipped == {"max_rows": 7}


def test_who_trains_on_originals_hands_in_how_to_read_them(ledger: Ledger, tmp_path: Path) -> None:
    traffic, out = Traffic(ledger), tmp_path / "c.jsonl"
    traffic.say(traffic.ask("mail ada@example.com"), correction="esim")

    def read(payload: Payload) -> str | bytes | None:
        original = {"messages": [{"role": "user", "content": "the original"}], "correction": "esim"}
        return json.dumps(original) if payload.sealed else None

    curate(ledger, config=CONFIG, out=out, read=read)
    assert [row["text"] for row in rows(out)] == ["the original"]


def test_a_file_that_curation_did_not_write_is_not_overwritten(ledger: Ledger, tmp_path: Path) -> None:
    out = tmp_path / "c.jsonl"
    out.write_text("notes\n")
    with pytest.raises(CorruptionError, match=r"c\.jsonl"):
        curate(ledger, config=CONFIG, out=out)
    assert out.read_text() == "notes\n"
