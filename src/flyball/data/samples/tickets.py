"""Seeded support tickets of an invented shop, for demo, tests and first steps. I/O: `write_…` write one JSONL file.

World "before" is what a first model is trained on; in world "after" the shop has new services: customers use new
words for known intents and ask for things that are new. Files are as dirty as real ones; `tickets` gives clean truth
for simulated customers, who are the same people as in the files.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Literal

from flyball.data.samples import vocabulary as words
from flyball.data.samples.phrases import AFTER_INTENTS, AFTER_WORDINGS, INTENTS, VAGUE

World = Literal["before", "after"]
CUSTOMERS = 2000
START = datetime(2026, 1, 1, tzinfo=UTC)

VAGUE_SHARE = 0.1
TYPO_SHARE = 0.06
MISLABELLED_SHARE = 0.02
EXACT_COPY_SHARE = 0.03
NEAR_COPY_SHARE = 0.03
MOJIBAKE_SHARE = 0.02
INVALID_BYTES_SHARE = 0.003
MALFORMED_SHARE = 0.004
NEW_WORDING_SHARE = 0.32
NEW_INTENT_SHARE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """One invented person: always the same for the same number."""

    id: str
    first: str
    last: str
    email: str
    phone: str
    card: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One message with the intent that its writer had."""

    customer_id: str
    text: str
    intent: str


def customer(number: int) -> Customer:
    """The customer with this number (0 to CUSTOMERS - 1)."""
    rng = Random(f"customer {number}")
    first, last = rng.choice(words.FIRST), rng.choice(words.LAST)
    return Customer(
        id=f"C{number:05d}",
        first=first,
        last=last,
        email=f"{plain(first)}.{plain(last)}{number}@{rng.choice(words.MAIL_HOSTS)}",
        phone=f"+44 20 7{rng.randrange(10**3):03d} {rng.randrange(10**4):04d}",
        card=card_number(rng),
    )


def plain(name: str) -> str:
    """A name as mail addresses have it: lower-case ASCII letters."""
    folded = unicodedata.normalize("NFKD", name.translate(str.maketrans("łøŁØ", "loLO")))
    return re.sub(r"[^a-z]", "", folded.casefold())


def card_number(rng: Random) -> str:
    """An invented 16-digit number with a right check digit (Luhn), in groups of four."""
    digits = [4, *(rng.randrange(10) for _ in range(14))]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[::2]]
    digits.append(-(sum(doubled) + sum(digits[1::2])) % 10)
    text = "".join(map(str, digits))
    return " ".join(text[at : at + 4] for at in range(0, 16, 4))


def ticket(rng: Random, world: World) -> Ticket:
    """One ticket of a random customer, with the true intent."""
    who = customer(rng.randrange(CUSTOMERS))
    core, intent = _core(rng, world)
    return Ticket(customer_id=who.id, text=_message(rng, who, core), intent=intent)


def tickets(seed: int, world: World = "before") -> Iterator[Ticket]:
    """Tickets without end, the same for the same seed; none is mislabelled."""
    rng = Random(f"stream {seed} {world}")
    while True:
        yield ticket(rng, world)


def intents(world: World) -> tuple[str, ...]:
    """The intents that customers have in this world."""
    return (*INTENTS, *(AFTER_INTENTS if world == "after" else ()))


def _core(rng: Random, world: World) -> tuple[str, str]:
    """The sentence that says what it is about, and the intent."""
    place = rng.random()
    if world == "after" and place < NEW_INTENT_SHARE:
        return _from(rng, AFTER_INTENTS)
    if world == "after" and place < NEW_INTENT_SHARE + NEW_WORDING_SHARE:
        return _from(rng, AFTER_WORDINGS)
    if rng.random() < VAGUE_SHARE:
        wording, meant = rng.choice(VAGUE)
        return wording, rng.choice(meant)
    return _from(rng, INTENTS)


def _from(rng: Random, wordings: dict[str, tuple[str, ...]]) -> tuple[str, str]:
    intent = rng.choice(list(wordings))
    return rng.choice(wordings[intent]), intent


def _message(rng: Random, who: Customer, core: str) -> str:
    """The core with what people write around it."""
    parts = [core]
    for _ in range(rng.choice((0, 1, 1, 2))):
        parts.insert(rng.randrange(len(parts) + 1), rng.choice(words.DETAILS))
    body = " ".join(_fill(rng, who, part) for part in parts)
    if rng.random() < TYPO_SHARE:
        body = _typo(rng, body)
    if rng.random() < 0.15:
        body = body.lower()
    opener, closer = rng.random(), rng.random()
    start = rng.choice(words.NAMED_OPENERS if opener < 0.15 else words.OPENERS) + " " if opener < 0.55 else ""
    end = " " + rng.choice(words.NAMED_CLOSERS if closer < 0.2 else words.CLOSERS) if closer < 0.5 else ""
    return _fill(rng, who, start) + body + _fill(rng, who, end)


def _fill(rng: Random, who: Customer, template: str) -> str:
    order = f"ORD-{rng.randrange(10**5, 10**6)}" if rng.random() < 0.5 else f"#{rng.randrange(10**4, 10**6)}"
    slots = {name: rng.choice(values) for name, values in words.SLOTS.items()}
    text = template.format(
        **slots,
        item2=rng.choice(words.ITEMS),
        order=order,
        first=who.first,
        last=who.last,
        email=who.email,
        phone=who.phone,
        card=who.card,
    )
    return text[:1].upper() + text[1:]


def _typo(rng: Random, text: str) -> str:
    """One letter left out, doubled or swapped with the next."""
    at = rng.randrange(1, max(2, len(text) - 1))
    before, letters, after = text[: at - 1], text[at - 1 : at + 1], text[at + 1 :]
    return before + rng.choice((letters[:1], letters[:1] * 2 + letters[1:], letters[::-1])) + after


def write_tickets(path: Path, *, rows: int = 6000, seed: int = 1, world: World = "before") -> None:
    """A dirty file of `rows` lines: {"id", "customer_id", "text", "intent", "created_at"}; the same for the same seed.

    Some lines are copies or nearly so, about 2 % have another intent than meant, a few are no UTF-8 or no JSON.
    """
    rng = Random(f"file {seed} {world}")
    recent: list[Ticket] = []
    with path.open("wb") as file:
        for number in range(rows):
            made = _next(rng, world, recent)
            recent = [*recent[-400:], made]
            file.write(_line(rng, made, number, world) + b"\n")


def write_poisoned(path: Path, *, rows: int = 6000, seed: int = 2, share: float = 1.0) -> None:
    """A clean-looking file whose labels are wrong in a `share` of rows, each intent always passed off as the next one.

    Meant as a second source with `split: train`: the test side stays true, so that the gate sees the harm.
    """
    rng = Random(f"poison {seed}")
    names = intents("before")
    with path.open("wb") as file:
        for number in range(rows):
            made = ticket(rng, "before")
            intent = made.intent
            if rng.random() < share:
                intent = names[(names.index(intent) + 1) % len(names)]
            file.write(_json(made, intent, number, "before") + b"\n")


def _next(rng: Random, world: World, recent: list[Ticket]) -> Ticket:
    place = rng.random()
    if recent and place < EXACT_COPY_SHARE:
        return rng.choice(recent)
    if recent and place < EXACT_COPY_SHARE + NEAR_COPY_SHARE:
        copied = rng.choice(recent)
        ending = rng.choice(("\nPlease answer.", "\nAsking again.", "\nHello?", "\nStill nothing."))
        return Ticket(customer_id=copied.customer_id, text=copied.text + ending, intent=copied.intent)
    return ticket(rng, world)


def _line(rng: Random, made: Ticket, number: int, world: World) -> bytes:
    """One line of the file, with what can go wrong on the way into a file."""
    intent = made.intent
    if rng.random() < MISLABELLED_SHARE:
        intent = rng.choice([name for name in intents(world) if name != made.intent])
    if rng.random() < MOJIBAKE_SHARE:
        made = Ticket(customer_id=made.customer_id, text=mojibake(f"C’est très urgent – {made.text}"), intent=intent)
    line = _json(made, intent, number, world)
    place = rng.random()
    if place < MALFORMED_SHARE:
        return rng.choice((line[: len(line) // 2], line.replace(b'": ', b'" ', 1), b"-- export restarted --"))
    if place < MALFORMED_SHARE + INVALID_BYTES_SHARE:
        return line.replace(b'"text": "', b'"text": "Gr\xfc\xdfe, ', 1)
    return line


def mojibake(text: str) -> str:
    """UTF-8 read as Windows-1252, as badly configured exports do."""
    return "".join(_garbled(character) for character in text)


def _garbled(character: str) -> str:
    try:
        return character.encode("utf-8").decode("cp1252")
    except UnicodeDecodeError:
        return character


def _json(made: Ticket, intent: str, number: int, world: World) -> bytes:
    created = START + timedelta(minutes=7 * number, days=90 if world == "after" else 0)
    return json.dumps(
        {
            "id": f"{'A' if world == 'after' else 'T'}{number:06d}",
            "customer_id": made.customer_id,
            "text": made.text,
            "intent": intent,
            "created_at": created.isoformat(),
        },
        ensure_ascii=False,
    ).encode()
