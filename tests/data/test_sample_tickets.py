"""The sample shop's tickets: reproducible, as dirty as promised, and changed when its world changes."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from flyball.data.config import Fields
from flyball.data.samples.tickets import card_number, customer, intents, tickets, write_poisoned, write_tickets
from flyball.data.text_profile import FILE, read_profile
from flyball.privacy.recognisers import is_card
from flyball.privacy.redaction import redact
from flyball.records import DatasetVersion
from rows_on_disk import KEY, all_rows, build, everything

FIELDS = Fields(text="text", label="intent", subject="customer_id", id="id")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DatasetVersion]:
    folder = tmp_path_factory.mktemp("tickets")
    write_tickets(folder / "tickets.jsonl", rows=3000)
    return folder, build(folder / "tickets.jsonl", folder / "out", fields=FIELDS)


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_tickets(tmp_path / name, rows=200, seed=seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    assert list(islice(tickets(5, "after"), 50)) == list(islice(tickets(5, "after"), 50))


def test_the_file_is_as_dirty_as_a_real_export(built: tuple[Path, DatasetVersion]) -> None:
    folder, version = built
    assert version.rows_in == 3000
    assert {"malformed", "not UTF-8", "exact duplicate", "near duplicate"} <= set(version.dropped)
    assert {"encoding", "redact:CARD", "redact:EMAIL", "redact:NAME", "redact:ORDER"} <= set(version.changed)
    assert 0.02 < sum(version.dropped.values()) / 3000 < 0.2
    assert set(version.labels) == set(intents("before"))
    assert max(Counter(row.subject for row in all_rows(folder / "out")).values()) > 2


def test_about_two_rows_in_a_hundred_are_mislabelled(tmp_path: Path) -> None:
    write_tickets(tmp_path / "a.jsonl", rows=3000, seed=4)
    wrong = total = 0
    for line in (tmp_path / "a.jsonl").read_bytes().splitlines():
        if b"What are the measurements of" in line and line.endswith(b"}"):
            try:
                intent = json.loads(line)["intent"]
            except ValueError:
                continue
            total += 1
            wrong += intent != "product_question"
    assert total > 10
    assert wrong / total < 0.2


def test_no_name_or_address_of_a_customer_survives_redaction(built: tuple[Path, DatasetVersion]) -> None:
    folder, _ = built
    people = [customer(number) for number in range(2000)]
    texts = " ".join(row.text for row in all_rows(folder / "out"))
    assert not [who.email for who in people if who.email in texts]
    assert not [who.card for who in people if who.card in texts]
    full = {f"{who.first} {who.last}" for who in people}
    assert not [name for name in full if name in texts]


def test_customers_are_the_same_people_in_file_and_stream() -> None:
    made = next(iter(tickets(3)))
    assert customer(int(made.customer_id[1:])).id == made.customer_id
    assert customer(7) == customer(7) != customer(8)


def test_cards_have_a_right_check_digit() -> None:
    from random import Random

    assert all(is_card(card_number(Random(seed))) for seed in range(200))


def test_after_the_change_customers_use_words_that_training_never_saw(built: tuple[Path, DatasetVersion]) -> None:
    profile = read_profile(built[0] / "out" / FILE, KEY)
    shares = {
        world: sum(profile.has_new_word(redact(made.text, "default").text) for made in islice(tickets(8, world), 600))
        / 600
        for world in ("before", "after")
    }
    assert shares["before"] == pytest.approx(profile.new_word_share, abs=0.05)
    assert shares["before"] < 0.15 < 0.4 < shares["after"]


def test_after_the_change_there_are_new_intents() -> None:
    seen = {made.intent for made in islice(tickets(8, "after"), 600)}
    assert seen == set(intents("after")) > set(intents("before"))


def test_poisoned_rows_of_a_second_source_leave_the_test_side_true(tmp_path: Path) -> None:
    write_tickets(tmp_path / "a.jsonl", rows=800)
    write_poisoned(tmp_path / "p.jsonl", rows=800)
    files = [tmp_path / "a.jsonl", tmp_path / "p.jsonl"]
    build(files, tmp_path / "out", fields=FIELDS, splits=[None, "train"])
    sides = everything(tmp_path / "out")
    assert {row.source for row in sides["test"]} == {"a.jsonl"}
    poisoned = [row for row in sides["train"] if row.source == "p.jsonl"]
    assert len(poisoned) > 500
    assert not [row for row in poisoned if "password" in row.text.lower() and row.label == "password_reset"]
