"""A person asks to be forgotten: nothing readable is left, what was trained is marked, the receipt proves it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import select

from flyball.compliance.byte_search import search
from flyball.compliance.erasers import Traces, merged
from flyball.compliance.erasure import Receipt, erase, find_receipt, is_valid
from flyball.compliance.subjects import Person
from flyball.errors import InputError
from flyball.records.canonical import to_plain
from flyball.security import audit
from flyball.storage import tables
from flyball.storage.ledger import Ledger, open_ledger
from flyball.storage.traffic import feedback_of, payload_of, requests_of_subject
from lineage_samples import chain
from traffic_samples import Traffic


@dataclass
class Folder:
    """A store of files named after people: an eraser as workflows write them."""

    path: Path
    datasets: tuple[str, ...] = ()
    replacement: str | None = None
    crash: str = ""
    calls: list[str] = field(default_factory=list)
    name: str = "files"

    def plan(self, person: Person) -> Traces:
        self.calls.append("plan")
        there = self._files(person)
        return Traces(counts={"files": len(there)}, records=dict.fromkeys(self.datasets if there else ()))

    def apply(self, person: Person) -> Traces:
        self.calls.append("apply")
        there = self._files(person)
        for file in there:
            file.unlink()
            if self.crash == "half-way":
                raise KeyboardInterrupt
        if self.crash == "before it is noted":
            raise KeyboardInterrupt
        new = self.replacement
        return Traces(counts={"files": len(there)}, records=dict.fromkeys(self.datasets, new) if new else {})

    def _files(self, person: Person) -> list[Path]:
        return sorted(self.path.glob(f"{person.subject}-*"))


def files(tmp_path: Path, *people: str) -> Path:
    folder = tmp_path / "files"
    folder.mkdir(exist_ok=True)
    for person in people:
        for number in range(3):
            (folder / f"{person}-{number}").write_text(person)
    return folder


def run(traffic: Traffic, *erasers: Folder, subject: str = "C0042") -> Receipt:
    return erase(traffic.ledger, project_key=traffic.key, subject=subject, erasers=erasers)


def effects(ledger: Ledger) -> list[tuple[str, str | None, str]]:
    column = tables.erasures.c
    with ledger.read() as connection:
        return [tuple(row) for row in connection.execute(select(column.old, column.new, column.effect))]


def test_texts_keys_and_callers_ids_are_gone_and_the_numbers_stay(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    request = traffic.ask("I am Zebulon Quux", user="C0042", client_id="ticket-of-zebulon")
    said = traffic.say(request, correction="zebulon says esim", user="C0042")
    by_own_id = traffic.say(None, comment="zebulon again", client_id="ticket-of-zebulon")
    other = traffic.ask("I am somebody else", user="C0001", client_id="kept")
    receipt = run(traffic)
    assert [payload_of(ledger, name) for name in (request, said, by_own_id)] == [None, None, None]
    assert payload_of(ledger, other) is not None
    (seen,) = requests_of_subject(ledger, receipt.subject_hash)
    assert seen.record.id == request and seen.record.cost_usd > 0
    assert seen.record.client_id == traffic.key.hash("client_id", "ticket-of-zebulon")
    assert feedback_of(ledger, request)[0].id == said
    with ledger.read() as connection:
        owners = set(connection.execute(select(tables.subject_keys.c.subject)).scalars())
    assert owners == {traffic.key.hash("subject", "C0001")}
    assert receipt.removed["traffic"] == {
        "client_ids": 2,
        "keys": 2,  # the person's, and that of a feedback filed before anybody knew whose request it was about
        "payloads": 3,
        "pseudonymous_requests_kept": 1,
    }


def test_no_byte_of_the_person_is_left_in_the_file_of_the_ledger(tmp_path: Path) -> None:
    """SQLite only: a server's files are not ours to read; what stays in its log is redacted or sealed (wiping.py)."""
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db", project="shop")
    traffic = Traffic(ledger)
    for _ in range(50):
        request = traffic.ask("I am Zebulon Quux " + "and on " * 300, user="C0042", client_id="ticket-of-zebulon")
        traffic.say(request, correction="Zebulon Quux wants esim", user="C0042")
    needles = ["Zebulon Quux", "ticket-of-zebulon"]
    assert {hit.needle for hit in search([tmp_path], needles)} == set(needles)
    run(traffic)
    assert search([tmp_path], [*needles, "C0042"]) == []
    ledger.close()


def test_the_receipt_is_signed_kept_in_the_audit_chain_and_tamper_proof(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    traffic.ask(user="C0042")
    receipt = run(traffic)
    assert is_valid(receipt, public_key=traffic.key.public_key)
    assert not is_valid(replace(receipt, suppressed=False), public_key=traffic.key.public_key)
    assert find_receipt(ledger, project_key=traffic.key, subject="C0042") == receipt
    assert audit.verify(ledger) == 3
    assert "C0042" not in str(to_plain(receipt)) and "C0042" not in str(audit.entries(ledger))


def test_the_person_is_suppressed_before_anything_is_removed(ledger: Ledger, tmp_path: Path) -> None:
    traffic = Traffic(ledger)
    with pytest.raises(KeyboardInterrupt):
        run(traffic, Folder(files(tmp_path, "C0042"), crash="half-way"))
    with ledger.read() as connection:
        hashes = connection.execute(select(tables.suppressions.c.hash)).scalars().all()
    assert hashes == [traffic.key.hash("subject", "C0042")]


def test_everything_trained_on_the_rows_is_marked_and_the_clean_line_is_not(ledger: Ledger, tmp_path: Path) -> None:
    traffic = Traffic(ledger)
    old, clean = chain(ledger, "old"), chain(ledger, "clean")
    tuned = chain(ledger, "tuned", dataset=clean.dataset, base_model=old.model)
    receipt = run(traffic, Folder(files(tmp_path, "C0042"), datasets=(old.dataset,), replacement=clean.dataset))
    assert receipt.replaced == {old.dataset: clean.dataset}
    assert receipt.marked == {
        "TrainingRun": (old.run, tuned.run),
        "ModelVersion": (old.model, tuned.model),
        "Release": (old.release, tuned.release),
    }
    assert (old.dataset, clean.dataset, "rewritten") in effects(ledger)
    assert (old.release, None, "marked") in effects(ledger)
    assert clean.release not in [old for old, _, _ in effects(ledger)]


@pytest.mark.parametrize("moment", ["half-way", "before it is noted"])
def test_a_killed_erasure_goes_on_and_its_receipt_is_complete(ledger: Ledger, tmp_path: Path, moment: str) -> None:
    traffic, old = Traffic(ledger), chain(ledger, "old")
    traffic.ask(user="C0042")
    folder = files(tmp_path, "C0042", "C0001")
    with pytest.raises(KeyboardInterrupt):
        run(traffic, Folder(folder, datasets=(old.dataset,), crash=moment))
    resumed = Folder(folder, datasets=(old.dataset,))
    receipt = run(traffic, resumed)
    assert resumed.calls == ["apply"], "the plan of before counts"
    assert receipt.removed["files"] == {"files": 3}
    assert receipt.marked["Release"] == (old.release,)
    assert sorted(path.name for path in folder.iterdir()) == ["C0001-0", "C0001-1", "C0001-2"]
    assert len(effects(ledger)) == len(set(effects(ledger)))
    assert is_valid(receipt, public_key=traffic.key.public_key)


def test_a_store_that_is_done_is_not_asked_again(ledger: Ledger, tmp_path: Path) -> None:
    traffic = Traffic(ledger)
    done = Folder(files(tmp_path, "C0042"), name="done")
    with pytest.raises(KeyboardInterrupt):
        run(traffic, done, Folder(files(tmp_path, "C0042"), crash="before it is noted"))
    run(traffic, done, Folder(files(tmp_path)))
    assert done.calls == ["plan", "apply"]


def test_erasing_twice_gives_the_same_receipt_and_new_traffic_a_new_one(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    traffic.ask(user="C0042", client_id="mine")
    first = run(traffic)
    assert run(traffic) == first
    traffic.ask(user="C0042")
    second = run(traffic)
    assert second.id != first.id and second.removed["traffic"]["payloads"] == 1


def test_someone_unknown_gets_a_receipt_of_nothing_and_is_suppressed(ledger: Ledger) -> None:
    receipt = run(Traffic(ledger), subject="nobody")
    assert receipt.removed == {"traffic": {"client_ids": 0, "keys": 0, "payloads": 0, "pseudonymous_requests_kept": 0}}
    assert receipt.suppressed


def test_no_file_is_touched_for_someone_who_is_in_none(ledger: Ledger, tmp_path: Path) -> None:
    traffic, folder = Traffic(ledger), Folder(files(tmp_path, "C0001"))
    receipt = run(traffic, folder, subject="nobody")
    assert receipt.found is False and receipt.removed["files"] == {"files": 0} and folder.calls == ["plan"]
    files(tmp_path, "nobody")
    assert run(traffic, folder, subject="nobody").removed["files"] == {"files": 3}


def test_what_could_not_be_read_and_what_needs_attention_is_no_finding(ledger: Ledger) -> None:
    class Notes:
        name = "notes"

        def plan(self, person: Person) -> Traces:
            return Traces(counts={"rows": 0, "sources_unread": 2})

        def apply(self, person: Person) -> Traces:
            return Traces(counts={"rows": 0, "versions_needing_attention": 1})

    traffic = Traffic(ledger)
    receipt = erase(ledger, project_key=traffic.key, subject="nobody", erasers=[Notes()])
    assert receipt.found is False
    assert receipt.removed["notes"] == {"rows": 0, "sources_unread": 2, "versions_needing_attention": 1}
    assert erase(ledger, project_key=traffic.key, subject="nobody", erasers=[Notes()]) == receipt


def test_every_spelling_erases_the_person_also_what_was_filed_before_there_was_one_form(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    traffic.ask(user="1005")
    traffic.ask(user="1005.0")  # the stand-in files names as they are, as gateways once did
    receipt = run(traffic, subject="1005.0")
    assert receipt.removed["traffic"]["payloads"] == 1
    assert receipt.removed["traffic, former spelling"]["payloads"] == 1
    assert run(traffic, subject=" 1005 ").id == receipt.id, "nothing is left under another spelling"


def test_what_names_nobody_cannot_be_erased(ledger: Ledger) -> None:
    with pytest.raises(InputError, match="names nobody"):
        run(Traffic(ledger), subject="NaN")


def test_an_empty_name_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InputError):
        run(Traffic(ledger), subject=" ")


def test_a_plan_and_a_second_apply_make_one_full_account() -> None:
    plan = Traces(counts={"files": 3, "rows": 1}, records={"a": None, "b": None})
    again = Traces(counts={"files": 1, "objects": 2}, records={"a": "a2"})
    assert merged(plan, again) == Traces(counts={"files": 3, "objects": 2, "rows": 1}, records={"a": "a2", "b": None})
