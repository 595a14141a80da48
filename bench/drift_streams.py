"""Streams of requests for bench/drift.py: what is asked, by whom, what is answered, and when something changes.

Requests are rows of Banking77 (77 intents) under the folder that FLYBALL_DATA names, drawn again and again, and foreign
ones rows of CLINC150; without the folder both are made up of invented words. Half of the rows teaches which words are
known, the other half is asked. 300 customers, some far busier than others; nine answers of ten name the right intent.
"""

from __future__ import annotations

import gzip
import json
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flyball.data.text_profile import profile_words
from flyball.monitoring.columns import Exchange

A_DAY = 200
DAYS = 60
CHANGE = 25 * A_DAY
"""Requests before the change; the first of them are the reference."""
SEASON = 30 * A_DAY
PEOPLE = [f"customer {number}" for number in range(300)]
BUSY = [1 / (number + 10) for number in range(300)]
RIGHT = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request and its answer; `person` asked."""

    exchange: Exchange
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What can be asked: texts by intent, foreign texts, and the words that training rows taught."""

    source: str
    asked: Mapping[str, Sequence[str]]
    foreign: Sequence[str]
    known: frozenset[str]
    held_out_share: float  # of texts that hold a word nobody taught

    def has_new_word(self, text: str) -> bool:
        """As a release's profile says it: a word that fewer than two training rows have."""
        return not profile_words(text) <= self.known


def texts() -> Texts:
    """From the data sets, or invented."""
    folder = os.environ.get("FLYBALL_DATA")
    rows, foreign = _invented() if folder is None else _read(Path(folder))
    spread = Counter(word for text, _ in rows[::2] for word in profile_words(text))
    known = frozenset(word for word, count in spread.items() if count > 1)
    asked: defaultdict[str, list[str]] = defaultdict(list)
    for text, intent in rows[1::2]:
        asked[intent].append(text)
    new = [not profile_words(text) <= known for text, _ in rows[1::2]]
    return Texts(
        source="invented" if folder is None else "Banking77 and CLINC150",
        asked=dict(sorted(asked.items())),
        foreign=foreign,
        known=known,
        held_out_share=sum(new) / len(new),
    )


def _read(folder: Path) -> tuple[list[tuple[str, str]], list[str]]:
    banking = folder / "banking77"
    rows = [
        (row["text"], row["category"]) for row in [*_rows(banking / "train.jsonl.gz"), *_rows(banking / "test.jsonl")]
    ]
    clinc = _rows(folder / "clinc150" / "train.jsonl.gz")
    return rows, [row["text"] for row in clinc if row["domain"] not in ("banking", "credit_cards")]


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _invented() -> tuple[list[tuple[str, str]], list[str]]:
    """77 intents of eight words each of their own, among 200 that all share; foreign texts have other words."""
    dice = random.Random(1)

    def words(count: int) -> list[str]:
        return ["".join(dice.choices("abdegiklmnoprstu", k=dice.randint(3, 9))) for _ in range(count)]

    def text(own: Sequence[str], shared: Sequence[str]) -> str:
        return " ".join(dice.choices(own, k=dice.randint(2, 4)) + dice.choices(shared, k=dice.randint(4, 12)))

    shared, other = words(200), words(400)
    rows = [(text(own, shared), f"intent {number}") for number in range(77) for own in [words(8)] for _ in range(150)]
    return rows, [text(other, shared) for _ in range(2000)]


@dataclass(slots=True)
class Traffic:
    """A source of requests whose parts a case changes at a moment."""

    texts: Texts
    dice: random.Random
    in_turn: bool  # a person asks one to six requests in a row, of one intent
    weights: dict[str, float] = field(init=False)
    answer_of: Callable[[str], str] = field(init=False)
    foreign: float = 0.0
    newcomer: Sequence[str] = ()
    _left: int = 0
    _who: str = ""
    _intent: str = ""

    def __post_init__(self) -> None:
        order = self.dice.sample(sorted(self.texts.asked), len(self.texts.asked))
        self.weights = {intent: 1 / (rank + 5) for rank, intent in enumerate(order)}
        self.answer_of = self.answer

    def answer(self, intent: str) -> str:
        """The right intent, nine times of ten."""
        return intent if self.dice.random() < RIGHT else self.dice.choice(list(self.weights))

    def intent(self) -> str:
        """One of the intents by their weights."""
        return self.dice.choices(list(self.weights), list(self.weights.values()))[0]

    def next(self) -> Request:
        """The next request."""
        if self._left == 0:
            self._left = self.dice.choice([1, 1, 1, 2, 3, 6]) if self.in_turn else 1
            self._who = self.dice.choices(PEOPLE, BUSY)[0]
            self._intent = self.intent()
        self._left -= 1
        if self.newcomer and self.dice.random() < 0.1:
            return self._request(self.dice.choice(self.newcomer), self.answer_of(self.intent()), "the new customer")
        strange = self.foreign and self.dice.random() < self.foreign
        text = self.dice.choice(self.texts.foreign if strange else self.texts.asked[self._intent])
        return self._request(text, self.answer_of(self._intent), self._who)

    @staticmethod
    def _request(text: str, answer: str, person: str) -> Request:
        tokens = 2 + len(answer.replace("_", " ").split())
        return Request(exchange=Exchange(text=text, answer=answer, answer_tokens=tokens), person=person)


Change = Callable[[Traffic, int], None]
"""What a case does to its traffic, called before each request with the requests since the change."""


def nothing(traffic: Traffic, since: int) -> None:
    """Unchanged traffic."""


def vocabulary(traffic: Traffic, since: int) -> None:
    """10 % of the requests are foreign; they are answered as ever."""
    traffic.foreign = 0.1


def one_label(traffic: Traffic, since: int) -> None:
    """An incident: an intent in the middle now is 10 % of all."""
    if since == 0:
        middle = sorted(traffic.weights, key=traffic.weights.__getitem__)[38]
        traffic.weights[middle] = 0.11 * sum(traffic.weights.values())


def collapse(traffic: Traffic, since: int) -> None:
    """The model gives only five of its 77 answers; people ask as ever."""
    usual = sorted(traffic.weights, key=traffic.weights.__getitem__)[-5:]
    traffic.answer_of = lambda intent: intent if intent in usual else usual[len(intent) % 5]


def same_words(traffic: Traffic, since: int) -> None:
    """30 % of the requests move to ten rare intents, in known words only; answers keep their mix."""
    if since == 0:
        rare = sorted(traffic.weights, key=traffic.weights.__getitem__)[:10]
        before = dict(traffic.weights)
        known = {
            intent: [text for text in traffic.texts.asked[intent] if not traffic.texts.has_new_word(text)] or own
            for intent, own in traffic.texts.asked.items()
        }
        traffic.texts = Texts(
            source=traffic.texts.source,
            asked={**traffic.texts.asked, **{intent: known[intent] for intent in rare}},
            foreign=traffic.texts.foreign,
            known=traffic.texts.known,
            held_out_share=traffic.texts.held_out_share,
        )
        for intent in rare:
            traffic.weights[intent] += 0.43 * sum(before.values()) / len(rare)
        names, shares = list(before), list(before.values())
        traffic.answer_of = lambda _: traffic.answer(traffic.dice.choices(names, shares)[0])


def season(traffic: Traffic, since: int) -> None:
    """Over 30 days, a little every day, a quarter of the intents becomes three times as frequent."""
    if since % A_DAY == 0 and since < SEASON:
        for intent in sorted(traffic.weights)[::4]:
            traffic.weights[intent] *= 3.0 ** (A_DAY / SEASON)


def newcomer(traffic: Traffic, since: int) -> None:
    """One customer joins, asks 10 % of all requests, and only about things nobody else asks."""
    traffic.newcomer = traffic.texts.foreign[:200]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What happens to the traffic of some routes; `right`: whether an alarm after it is right."""

    change: Change
    right: bool
    routes: int = 1
    in_turn: bool = False


CASES: Mapping[str, Case] = {
    "unchanged": Case(change=nothing, right=False, routes=4),
    "unchanged_in_turn": Case(change=nothing, right=False, routes=4, in_turn=True),
    "vocabulary_drift": Case(change=vocabulary, right=True),
    "label_shift": Case(change=one_label, right=True),
    "label_collapse": Case(change=collapse, right=True),
    "semantic_shift_same_words": Case(change=same_words, right=True),
    "slow_season": Case(change=season, right=True),
    "one_new_customer": Case(change=newcomer, right=False),
}


def stream(texts: Texts, name: str, *, seed: int, route: int) -> list[Request]:
    """60 days of a route."""
    case = CASES[name]
    traffic = Traffic(texts, random.Random(f"{seed} {route} {name}"), case.in_turn)
    found = []
    for at in range(A_DAY * DAYS):
        if at >= CHANGE:
            case.change(traffic, at - CHANGE)
        found.append(traffic.next())
    return found
