"""Seals: opened by one key in one place, and for ever closed once that key is destroyed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from flyball.errors import CorruptionError
from flyball.security.keys import ProjectKey
from flyball.security.sealing import SubjectKeys, seal, unseal
from flyball.storage import tables
from flyball.storage.ledger import Ledger

KEYS = SubjectKeys(ProjectKey(bytes(range(32))))
keys = st.binary(min_size=32, max_size=32)


@given(keys, st.binary(), st.binary())
def test_what_was_sealed_comes_back(key: bytes, plain: bytes, context: bytes) -> None:
    assert unseal(key, seal(key, plain, context=context), context=context) == plain


@given(keys, st.binary(min_size=1), st.binary(), st.data())
def test_flipping_any_bit_is_found(key: bytes, plain: bytes, context: bytes, draw: st.DataObject) -> None:
    sealed = bytearray(seal(key, plain, context=context))
    bit = draw.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptionError):
        unseal(key, bytes(sealed), context=context)


@given(keys, keys, st.binary(), st.binary())
def test_another_key_or_place_does_not_open_it(key: bytes, other: bytes, here: bytes, there: bytes) -> None:
    sealed = seal(key, b"plain", context=here)
    for wrong_key, wrong_place in ((other, here), (key, there)):
        if (wrong_key, wrong_place) != (key, here):
            with pytest.raises(CorruptionError):
                unseal(wrong_key, sealed, context=wrong_place)


@given(st.binary(max_size=40))
def test_what_was_never_sealed_does_not_open(junk: bytes) -> None:
    with pytest.raises(CorruptionError):
        unseal(bytes(32), junk, context=b"")


def test_the_same_text_is_sealed_differently_each_time() -> None:
    assert len({seal(bytes(32), b"plain", context=b"") for _ in range(100)}) == 100


def test_a_subject_keeps_its_key_and_nobody_shares_it(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        made = KEYS.get_or_create(connection, "shop", "ann")
        assert KEYS.get_or_create(connection, "shop", "ann") == made == KEYS.get(connection, "shop", "ann")
        assert (
            len({made, KEYS.get_or_create(connection, "shop", "bob"), KEYS.get_or_create(connection, "b", "ann")}) == 3
        )


def test_a_destroyed_key_is_gone_and_a_new_one_does_not_open_what_it_sealed(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        sealed = seal(KEYS.get_or_create(connection, "shop", "ann"), b"secret", context=b"")
        assert KEYS.destroy(connection, "shop", "ann")
        assert KEYS.get(connection, "shop", "ann") is None
        assert not KEYS.destroy(connection, "shop", "ann")
        with pytest.raises(CorruptionError):
            unseal(KEYS.get_or_create(connection, "shop", "ann"), sealed, context=b"")


def test_keys_lie_in_the_ledger_wrapped_and_bound_to_their_subject(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        key = KEYS.get_or_create(connection, "shop", "ann")
        wrapped = bytes(connection.execute(select(tables.subject_keys.c.wrapped)).scalar_one())
        assert key not in wrapped
        connection.execute(update(tables.subject_keys).values(subject="eve"))
        with pytest.raises(CorruptionError):
            KEYS.get(connection, "shop", "eve")


def test_another_project_key_opens_no_subject_key(ledger: Ledger) -> None:
    with ledger.begin() as connection:
        KEYS.get_or_create(connection, "shop", "ann")
        with pytest.raises(CorruptionError, match="check that the project key"):
            SubjectKeys(ProjectKey(bytes(32))).get(connection, "shop", "ann")
