"""API keys: shown once, stored hashed, found without a lookup in the ledger."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from flyball.errors import InputError, NotFoundError
from flyball.security import audit
from flyball.security.principals import (
    Keyring,
    create_key,
    list_keys,
    load_keyring,
    revoke_key,
)
from flyball.storage import tables
from flyball.storage.ledger import Ledger


def test_a_fresh_key_leads_to_its_principal_with_all_its_limits(ledger: Ledger) -> None:
    limits: dict[str, Any] = {"requests_per_minute": 5, "tokens_per_minute": 900, "concurrency": 2, "budget_usd": 0.5}
    made, secret = create_key(
        ledger, name="bot", role="admin", team="größe", routes=("a", "b"), expires_ms=2**42, **limits
    )
    assert secret.startswith("fb-") and len(secret) > 40
    assert load_keyring(ledger).find(secret) == made
    assert {name: getattr(made, name) for name in limits} == limits


def test_the_secret_itself_is_nowhere_in_the_ledger(ledger: Ledger) -> None:
    _, secret = create_key(ledger, name="bot")
    with ledger.read() as connection:
        rows = [*connection.execute(select(tables.api_keys)), *connection.execute(select(tables.audit))]
    assert secret[3:] not in repr(rows)


def test_a_project_without_keys_is_open_and_one_whose_keys_are_all_revoked_is_not(ledger: Ledger) -> None:
    assert load_keyring(ledger).empty
    made, secret = create_key(ledger, name="bot")
    revoke_key(ledger, made.id)
    keyring = load_keyring(ledger)
    assert not keyring.empty and keyring.ids == {made.id} and keyring.find(secret) is None


def test_an_expired_key_finds_nobody_without_reading_the_ledger_again(ledger: Ledger) -> None:
    _, secret = create_key(ledger, name="bot", expires_ms=time.time_ns() // 1_000_000 + 400)
    keyring = load_keyring(ledger)
    assert keyring.find(secret) is not None
    time.sleep(0.5)
    assert keyring.find(secret) is None


@given(st.text())
def test_looking_for_any_text_raises_nothing(text: str) -> None:
    assert Keyring([]).find(text) is None
    assert Keyring([]).find("\ud800" + text) is None


def test_revoking_is_final_idempotent_and_told(ledger: Ledger) -> None:
    made, _ = create_key(ledger, name="bot", actor="ann")
    revoke_key(ledger, made.id, actor="ann")
    first = list_keys(ledger)
    revoke_key(ledger, made.id, actor="bob")
    assert list_keys(ledger) == first
    assert [(entry.action, entry.actor) for entry in audit.entries(ledger)] == [
        ("key.revoke", "ann"),
        ("key.create", "ann"),
    ]


def test_revoking_nothing_says_how_to_find_keys(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="flyball key list"):
        revoke_key(ledger, "none")


def test_keys_are_listed_oldest_first(ledger: Ledger) -> None:
    made = []
    for name in "cab":
        made.append(create_key(ledger, name=name)[0])
        time.sleep(0.002)
    assert [entry.principal for entry in list_keys(ledger)] == made


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 101},
        {"role": "root"},
        {"budget_usd": 0.0},
        {"concurrency": -1},
        {"budget_usd": float("nan")},
    ],
)
def test_a_key_that_makes_no_sense_is_refused_and_not_stored(ledger: Ledger, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        create_key(ledger, **{"name": "bot", **wrong})
    assert load_keyring(ledger).empty


def test_a_secret_made_elsewhere_becomes_one_key_however_often_it_is_given(ledger: Ledger) -> None:
    given = "fb-" + "0123456789abcdef" * 2
    made, secret = create_key(ledger, name="ops", role="admin", secret=given)
    assert secret == given and load_keyring(ledger).find(given) == made
    revoke_key(ledger, made.id)
    again, _ = create_key(ledger, name="ops", role="admin", secret=given)
    assert again == made and load_keyring(ledger).find(given) is None, "a revoked key came back"
    assert len(list_keys(ledger)) == 1


@pytest.mark.parametrize("weak", ["", "short", "fb-" + "a" * 28, "with blank " * 4, "ü" * 40, "line\n" * 10])
def test_a_secret_that_can_be_guessed_or_not_be_sent_is_refused(ledger: Ledger, weak: str) -> None:
    with pytest.raises(InputError, match="openssl rand") as refused:
        create_key(ledger, name="ops", secret=weak)
    assert not weak or weak not in str(refused.value)
    assert load_keyring(ledger).empty
