"""Erases a person from every store and gives a signed receipt. I/O: the ledger, and what the erasers handed in touch.

Order: plan all stores; suppress the person (so that nothing is collected again) and write the plan to the journal; each
store in turn, noted when done; mark what was trained on the person's rows; wipe the database's files; sign and keep the
receipt. Killed anywhere, the next call for the same person goes on from the journal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, select, update

from flyball.compliance import erasure_journal
from flyball.compliance.descendants import trained_on
from flyball.compliance.erasers import NOTES, SOURCES_UNREAD, Eraser, FormerSpelling, Traces, merged
from flyball.compliance.erasure_journal import Journal
from flyball.compliance.secure_delete import wipe
from flyball.compliance.subjects import Person, former_of, person_of
from flyball.compliance.traffic_eraser import TrafficEraser
from flyball.errors import InputError, NotFoundError
from flyball.records import JSON, canonical_json
from flyball.records.canonical import to_plain
from flyball.security.keys import ProjectKey, verify_signature
from flyball.storage import tables
from flyball.storage.ledger import Ledger, insert_new, now_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What was done for one person: removed (by store and kind, with counts), replaced (dataset versions), marked
    (trained on the person's rows, by record type); signed with the project's key (Ed25519) over all other fields.

    `found`: whether any store knew of the person, be it by a record that stays; earlier receipts do not say.
    `mentioned`: by source, the lines and columns that name the person in rows that are not the person's: they stay.
    """

    id: str
    project: str
    subject_hash: str
    at_ms: int
    removed: Mapping[str, Mapping[str, int]]
    replaced: Mapping[str, str | None]
    marked: Mapping[str, tuple[str, ...]]
    suppressed: bool
    public_key: str
    signature: str
    found: bool | None = None
    mentioned: Mapping[str, Any] | None = None


def erase(
    ledger: Ledger, *, project_key: ProjectKey, subject: str, erasers: Sequence[Eraser] = (), actor: str = "local"
) -> Receipt:
    """Erase a person; a second call with nothing left to erase returns the first receipt.

    Where no store holds anything, `erasers` touch nothing; the person is suppressed in the ledger all the same.
    """
    if not subject.strip():
        raise InputError("no subject was named", cure="flyball subject erase SUBJECT")
    person = person_of(project_key, subject)
    stores: list[Eraser] = [*erasers, TrafficEraser(ledger, project_key)]
    if former := former_of(project_key, subject):
        stores.append(FormerSpelling(stores[-1], former))
    work = erasure_journal.latest(ledger, person)
    if work is None or work.receipt is not None or _is_idle(work.plans):
        plans = {store.name: store.plan(person) for store in stores}
        if work is not None and work.receipt is not None:
            receipt = msgspec.convert(work.receipt, Receipt)
            changed = _more_can_be_read(receipt, plans) or _mentioned(plans) != dict(receipt.mentioned or {})
            if not any(_holds(traces) for traces in plans.values()) and not changed:
                return receipt
        work = _begin(ledger, person, plans, actor)
    done = dict(work.steps)
    if _is_idle(work.plans):  # no file is touched for somebody who is in none, so that nothing is built again
        done |= {store.name: work.plans[store.name] for store in erasers if store.name in work.plans}
    for store in stores:
        if store.name not in done:
            done[store.name] = _run(ledger, person, work, store, actor)
    return _finish(ledger, person, project_key, work.id, done, actor)


def find_receipt(ledger: Ledger, *, project_key: ProjectKey, subject: str) -> Receipt | None:
    """The receipt of a person's newest finished erasure."""
    work = erasure_journal.latest(ledger, person_of(project_key, subject))
    return None if work is None or work.receipt is None else msgspec.convert(work.receipt, Receipt)


def is_valid(receipt: Receipt, *, public_key: str) -> bool:
    """Whether the receipt was signed by the holder of this key and says what was signed."""
    return verify_signature(public_key, _signed_bytes(receipt), receipt.signature)


def receipt_document(
    ledger: Ledger, *, project_key: ProjectKey, subject: str, given: bytes | None = None
) -> dict[str, JSON]:
    """A person's newest receipt, or one that somebody hands over (JSON); `signature_holds`: whether we signed it."""
    if given is None:
        receipt = find_receipt(ledger, project_key=project_key, subject=subject)
        if receipt is None:
            raise NotFoundError(f"there is no receipt for {subject!r}", cure=f"flyball subject erase {subject}")
    else:
        try:
            receipt = msgspec.json.decode(given, type=Receipt)
        except msgspec.DecodeError as error:
            raise InputError(
                f"this is not a receipt: {error}",
                cure="give the JSON that `flyball subject erase --receipt FILE` wrote",
            ) from error
        if receipt.subject_hash != person_of(project_key, subject).hash:
            raise InputError(f"the receipt is not about {subject!r}", cure="check the spelling, or give another file")
    return {**to_plain(receipt), "signature_holds": is_valid(receipt, public_key=project_key.public_key)}


def _holds(traces: Traces) -> bool:
    """Whether there is something to remove (counts of what is kept on purpose say so in their name)."""
    return bool(traces.records) or any(n for name, n in traces.counts.items() if not name.endswith(("_kept", *NOTES)))


def _is_idle(plans: Mapping[str, Traces]) -> bool:
    """Whether no store holds anything, and every source could be read: nothing is to be done in files."""
    return not any(_holds(traces) or traces.counts.get(SOURCES_UNREAD) for traces in plans.values())


def _more_can_be_read(receipt: Receipt, plans: Mapping[str, Traces]) -> bool:
    """Whether sources that nobody could read at the time of a receipt can be read now."""
    return any(
        counts.get(SOURCES_UNREAD, 0) > plans[store].counts.get(SOURCES_UNREAD, 0)
        for store, counts in receipt.removed.items()
        if store in plans
    )


def _mentioned(stores: Mapping[str, Traces]) -> dict[str, Any]:
    return {source: where for traces in stores.values() for source, where in traces.mentions.items()}


def _begin(ledger: Ledger, person: Person, plans: Mapping[str, Traces], actor: str) -> Journal:
    with ledger.begin() as connection:
        key = {"project": ledger.project, "hash": person.hash}
        insert_new(connection, tables.suppressions, {**key, "at_ms": now_ms()})
        return erasure_journal.begin(connection, ledger, person, plans, actor)


def _run(ledger: Ledger, person: Person, work: Journal, store: Eraser, actor: str) -> Traces:
    plan = work.plans.get(store.name) or store.plan(person)  # a store added since the erasure began
    traces = merged(plan, store.apply(person))
    with ledger.begin() as connection:
        for old, new in traces.records.items():
            _effect(connection, ledger, person, work.id, (old, new), "rewritten" if new else "deleted")
        erasure_journal.step(connection, ledger, person, store.name, traces, actor)
    return traces


def _finish(
    ledger: Ledger, person: Person, project_key: ProjectKey, erasure: str, done: Mapping[str, Traces], actor: str
) -> Receipt:
    replaced = {old: new for traces in done.values() for old, new in traces.records.items()}
    marked = trained_on(ledger, replaced)
    with ledger.begin() as connection:
        for name in (name for names in marked.values() for name in names):
            _effect(connection, ledger, person, erasure, (name, None), "marked")
    wipe(ledger)
    unsigned = Receipt(
        id=erasure,
        project=ledger.project,
        subject_hash=person.hash,
        at_ms=now_ms(),
        removed={name: dict(traces.counts) for name, traces in done.items()},
        replaced=replaced,
        marked={kind: tuple(names) for kind, names in marked.items()},
        suppressed=True,
        public_key=project_key.public_key,
        signature="",
        found=bool(replaced)
        or any(n for traces in done.values() for name, n in traces.counts.items() if not name.endswith(NOTES)),
        mentioned=_mentioned(done),
    )
    receipt = replace(unsigned, signature=project_key.sign(_signed_bytes(unsigned)))
    with ledger.begin() as connection:
        erasure_journal.end(connection, ledger, person, receipt, actor)
    return receipt


def _signed_bytes(receipt: Receipt) -> bytes:
    document = to_plain(receipt)
    del document["signature"]
    if receipt.found is None:
        del document["found"]  # it was not said, nor signed, then
    if receipt.mentioned is None:
        del document["mentioned"]
    return canonical_json(document)


def _effect(
    connection: Connection, ledger: Ledger, person: Person, erasure: str, records: tuple[str, str | None], effect: str
) -> None:
    """Note what an erasure did to a record, once; a replacement that is known only now is filled in."""
    old, new = records
    column = tables.erasures.c
    same = and_(column.project == ledger.project, column.receipt == erasure, column.old == old)
    if connection.execute(select(column.seq).where(same).limit(1)).first() is not None:
        connection.execute(update(tables.erasures).where(same).values(new=new, effect=effect))
        return
    values = {"project": ledger.project, "subject": person.hash, "old": old, "new": new, "effect": effect}
    connection.execute(tables.erasures.insert().values(**values, receipt=erasure, at_ms=now_ms()))
