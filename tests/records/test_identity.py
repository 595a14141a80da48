"""Names of things: ordered by time, genuine or not at a glance, useless to strangers."""

from __future__ import annotations

import uuid

from hypothesis import assume, given
from hypothesis import strategies as st

from flyball.records.identity import (
    content_hash,
    derived_id,
    is_genuine,
    keyed_hash,
    milliseconds_of,
    request_id,
    short,
    uuid7,
)

keys = st.binary(min_size=32, max_size=32)
owners = st.text(max_size=40)
times = st.integers(0, 2**48 - 1)


@given(times, st.integers(0, 2**80 - 1))
def test_a_uuid7_is_one_by_rfc_9562_and_tells_its_time(now_ms: int, random: int) -> None:
    identifier = uuid7(now_ms=now_ms, random=random)
    parsed = uuid.UUID(identifier)
    assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, identifier)
    assert milliseconds_of(identifier) == now_ms


@given(times, times)
def test_names_sort_by_time(one: int, two: int) -> None:
    assume(one < two)
    assert uuid7(now_ms=one) < uuid7(now_ms=two)


@given(keys, owners, times)
def test_a_request_id_is_genuine_for_its_key_and_owner(key: bytes, owner: str, now_ms: int) -> None:
    identifier = request_id(key, owner, now_ms=now_ms)
    assert is_genuine(key, owner, identifier)
    assert milliseconds_of(identifier) == now_ms and uuid.UUID(identifier).version == 7


def test_ids_and_hashes_of_earlier_versions_still_hold() -> None:
    key = bytes(range(32))
    assert is_genuine(key, "k_1", "018bcfe5-6800-7ad6-82a5-938f273a79ad")
    assert is_genuine(key, "ключ", "018bcfe5-6800-72f0-871f-bf78abb479a7")
    assert keyed_hash(key, "subject", "C0042") == "3843eb42b0ba69f036ad65041a5cb57ecf66f0d3d5f3d96363067f08d3558a31"
    assert derived_id(key, uuid7(now_ms=5, random=7), b"x") == "00000000-0005-7abd-96c2-4c9276a470ac"


@given(keys, keys, owners, owners)
def test_a_request_id_is_not_genuine_for_anybody_else(key: bytes, other: bytes, owner: str, stranger: str) -> None:
    identifier = request_id(key, owner)
    assert is_genuine(other, owner, identifier) == (other == key)
    assert is_genuine(key, stranger, identifier) == (stranger == owner)


@given(keys, owners, st.integers(0, 127))
def test_flipping_any_bit_of_a_request_id_is_refused(key: bytes, owner: str, bit: int) -> None:
    identifier = uuid.UUID(request_id(key, owner))
    assert not is_genuine(key, owner, str(uuid.UUID(int=identifier.int ^ 1 << bit)))


@given(keys, st.text())
def test_a_text_that_is_no_id_is_refused_and_raises_nothing(key: bytes, text: str) -> None:
    assert not is_genuine(key, "owner", text)


@given(keys)
def test_another_spelling_of_a_genuine_id_is_refused(key: bytes) -> None:
    identifier = request_id(key, "owner")
    spellings = {identifier.upper(), identifier.replace("-", ""), f"{{{identifier}}}", f"urn:uuid:{identifier}"}
    assert not any(is_genuine(key, "owner", spelling) for spelling in spellings - {identifier})


@given(keys, st.binary(), st.binary())
def test_a_derived_id_is_the_same_for_the_same_content_alone(key: bytes, one: bytes, two: bytes) -> None:
    parent = uuid7()
    assert derived_id(key, parent, one) == derived_id(key, parent, one)
    assert (derived_id(key, parent, one) == derived_id(key, parent, two)) == (one == two)
    assert milliseconds_of(derived_id(key, parent, one)) == milliseconds_of(parent)


@given(keys, keys, st.text(), st.text())
def test_a_keyed_hash_depends_on_key_purpose_and_value(key: bytes, other: bytes, purpose: str, value: str) -> None:
    name = keyed_hash(key, purpose, value)
    assert len(name) == 64
    assert (keyed_hash(other, purpose, value) == name) == (other == key)
    assert keyed_hash(key, purpose + "x", value) != name != keyed_hash(key, purpose, value + "x")


def test_content_hashes_are_sha256() -> None:
    assert content_hash(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4


def test_people_see_twelve_digits_of_a_fingerprint_and_a_whole_uuid() -> None:
    assert short("a" * 64) == "a" * 12
    assert short(identifier := uuid7()) == identifier
