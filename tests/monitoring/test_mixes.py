"""The mix of columns: what changes is found and named, what stays is left alone, one customer is no trend."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from sqlalchemy import delete

from flyball.monitoring.columns import COLUMNS, Exchange, categories
from flyball.monitoring.config import MonitorConfig
from flyball.monitoring.mix_detection import OTHER, MixTest, nearest_allowed
from flyball.monitoring.mix_monitor import watch_mixes
from flyball.monitoring.monitor_state import load
from flyball.records import Finding
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from traffic_samples import RELEASE, ROUTE, Traffic

CONFIG = MonitorConfig(reference_requests=600)
LABELS = [f"label {number}" for number in range(20)]
WEIGHTS = [1 / (number + 3) for number in range(20)]
TOPICS = {
    "delivery": "where is my parcel the courier has not delivered the package to the door yet",
    "money": "please refund the invoice i was charged twice on my card the payment failed",
    "account": "i forgot the password and cannot sign in to reset the account login email",
}


def watch(ledger: Ledger, config: MonitorConfig = CONFIG) -> list[Finding]:
    findings: list[Finding] = []
    more = True
    while more:
        found, more = watch_mixes(ledger, config=config, alpha=0.001, route=ROUTE, release=RELEASE)
        findings += found
    return findings


def texts(rng: random.Random, count: int, topics: Sequence[str] = ("delivery", "money", "account")) -> list[str]:
    return [" ".join(rng.choices(TOPICS[rng.choice(topics)].split(), k=rng.randint(5, 12))) for _ in range(count)]


def ask(traffic: Traffic, asked: Sequence[str], labels: Sequence[str], *, user: str | None = None) -> list[str]:
    """Requests in turn with an answer each, by one user or by 300; a label's requests of 10 follow each other."""
    names: list[str] = []
    for at in range(0, len(asked), 10):
        texts, answers = asked[at : at + 10], labels[at : at + 10]
        for label in dict.fromkeys(answers):
            mine = [text for text, other in zip(texts, answers, strict=True) if other == label]
            users = [user or f"customer {(at + len(names) + number) % 300}" for number in range(len(mine))]
            names += traffic.ask_many(mine, users=users, answer=label)
    return names


def usual(rng: random.Random, traffic: Traffic, count: int) -> None:
    ask(traffic, texts(rng, count), rng.choices(LABELS, WEIGHTS, k=count))


def test_unchanged_traffic_gives_no_finding(sqlite_ledger: Ledger) -> None:
    rng, traffic = random.Random(1), Traffic(sqlite_ledger)
    usual(rng, traffic, 2000)
    assert watch(sqlite_ledger) == []


def test_a_collapse_of_answers_is_found_with_who_and_how_much(ledger: Ledger) -> None:
    rng, traffic = random.Random(2), Traffic(ledger)
    usual(rng, traffic, 800)
    assert watch(ledger) == []
    names = ask(traffic, texts(rng, 600), rng.choices(LABELS[:3], k=600))
    (finding,) = watch(ledger)
    assert (finding.kind, finding.measure, finding.severity) == ("drift", "answers", "warning")
    assert finding.value > finding.evidence["limit"] > finding.reference  # type: ignore[operator]
    assert set(finding.examples) <= set(names) and len(finding.examples) == 5
    assert "were one answer" in finding.explanation and "label" not in finding.explanation
    assert watch(ledger) == []  # once


def test_other_topics_in_known_words_are_found(ledger: Ledger) -> None:
    rng, traffic = random.Random(3), Traffic(ledger)
    usual(rng, traffic, 800)
    ask(traffic, texts(rng, 600, ["money"]), rng.choices(LABELS, WEIGHTS, k=600))
    assert [finding.measure for finding in watch(ledger)] == ["topics"]


def test_one_new_customer_is_no_drift(ledger: Ledger) -> None:
    rng, traffic = random.Random(4), Traffic(ledger)
    usual(rng, traffic, 800)
    for _ in range(6):
        ask(traffic, texts(rng, 50), rng.choices(LABELS, WEIGHTS, k=50))
        ask(traffic, ["Приветствую вас"] * 50, ["label 0"] * 50, user="the new customer")
    assert watch(ledger) == []


def test_the_state_holds_no_text_and_goes_on_after_a_restart(ledger: Ledger) -> None:
    rng, traffic = random.Random(5), Traffic(ledger)
    usual(rng, traffic, 700)
    watch(ledger)
    state = load(ledger, f"mix:{ROUTE}:{RELEASE}").state
    assert state is not None and "parcel" not in state and "label" not in state and len(state) < 200_000
    assert watch(ledger) == []
    assert load(ledger, f"mix:{ROUTE}:{RELEASE}").state == state


@pytest.mark.parametrize("size", [60, 600])
def test_a_small_reference_makes_no_alarm_of_its_own_error(size: int) -> None:
    """At α = .1 for each of 40 streams, 10 or more alarms have a probability below 1 %."""
    rng = random.Random(size)
    alarms = 0
    for _ in range(40):
        drawn = Counter(rng.choices(LABELS, WEIGHTS, k=size))
        test = MixTest({label: drawn[label] for label in LABELS}, margin=0.001, alpha=0.1)
        stream = rng.choices(LABELS, WEIGHTS, k=1000)
        alarms += any(test.update(label, place=at) >= test.needed for at, label in enumerate(stream))
    assert alarms < 10


def test_no_allowed_mix_gains_from_the_bets_on_a_mix_that_is_not_allowed() -> None:
    dice = random.Random(8)
    for _ in range(200):
        size = dice.randint(2, 30)
        allowed, other = ([dice.expovariate(1.0) + 1e-3 for _ in range(size)] for _ in range(2))
        allowed, other = ([one / sum(mix) for one in mix] for mix in (allowed, other))
        bounds = [(share * dice.random(), min(1.0, share * (1 + dice.random()))) for share in allowed]
        nearest = nearest_allowed(other, bounds)
        assert sum(nearest) == pytest.approx(1.0, abs=1e-6)
        assert all(low <= one <= high for one, (low, high) in zip(nearest, bounds, strict=True))
        gain = sum(p * q / one for p, q, one in zip(allowed, other, nearest, strict=True))
        assert gain <= 1.0 + 1e-12


def test_a_collapse_to_five_of_77_answers_is_found_within_200() -> None:
    """No answer's share alone says so much: all of them together do."""
    rng, labels = random.Random(9), [f"answer {number}" for number in range(77)]
    test = MixTest(Counter(rng.choices(labels, k=1000)), margin=0.02, alpha=0.001)
    for at in range(3000):
        assert test.update(rng.choice(labels), place=at) < test.needed
    stream = iter(range(3000, 3200))
    assert any(test.update(rng.choice(labels[:5]), place=at) >= test.needed for at in stream)
    assert test.moved.category in labels[:5] and test.moved.direction == "above"


def test_a_test_goes_on_from_its_state() -> None:
    rng = random.Random(7)
    one = MixTest({"a": 300, "b": 300}, margin=0.02, alpha=0.001)
    other = MixTest({"a": 300, "b": 300}, margin=0.02, alpha=0.001)
    for at in range(1000):
        category = rng.choice(["a", "b", "c"])
        other = MixTest.restore(other.state())
        assert one.update(category, place=at) == other.update(category, place=at)
    assert one.e_value >= one.needed and one.moved == other.moved
    assert (one.moved.category, one.moved.direction) == (OTHER, "above")


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_column_takes_any_text(column: object) -> None:
    assert isinstance(column, type(COLUMNS[0]))
    odd = ["", " ", "\x00", "🎈" * 3000, "a" * 100_000, "<EMAIL>", "مرحبا", "\ud800"]
    exchanges = [Exchange(text=text, answer=text, answer_tokens=len(text)) for text in odd]
    for fitted in (exchanges, exchanges[:1]):
        fit = column.fit(fitted)
        for one in exchanges:
            found = column.category(fit, one)
            assert found in {OTHER, *categories(column, fit)} and column.described(fit, found)


@pytest.mark.parametrize("column", COLUMNS[:4], ids=lambda column: column.name)
def test_a_column_that_never_varied_sees_what_is_new(column: object) -> None:
    assert isinstance(column, type(COLUMNS[0]))
    same = Exchange(text="where is it", answer="orders", answer_tokens=1)
    fit = column.fit([same] * 100)
    assert column.category(fit, same) in categories(column, fit)
    other = Exchange(text="refund the invoice please", answer="payments", answer_tokens=9)
    assert column.category(fit, other) != column.category(fit, same)


def test_a_reference_whose_texts_are_all_gone_is_begun_again(ledger: Ledger) -> None:
    rng, traffic = random.Random(6), Traffic(ledger)
    usual(rng, traffic, CONFIG.reference_requests)
    with ledger.begin() as connection:
        connection.execute(delete(tables.payloads))
    usual(rng, traffic, 300)
    assert watch(ledger) == []
    assert load(ledger, f"mix:{ROUTE}:{RELEASE}").through_seq > 0
