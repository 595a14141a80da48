"""Canonical bytes: one content, one byte string, one name; anything else is refused."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import CorruptionError, InputError
from flyball.records import (
    KINDS,
    Constraint,
    Deployment,
    EngineSettings,
    Feedback,
    Finding,
    GateDecision,
    Message,
    ModelVersion,
    Release,
    RequestRecord,
    canonical_bytes,
    canonical_json,
    fingerprint,
    fingerprint_of,
    name_of,
    parse,
)
from record_samples import deployment_record, feedback_record, request_record

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
floats = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**63), 2**64 - 1)
values = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
st.register_type_strategy(str, texts)
st.register_type_strategy(float, floats | st.integers(-5, 5))  # type: ignore[arg-type]  # as careless callers do
st.register_type_strategy(int, integers)
for kind in (Deployment, Finding, GateDecision, Release, EngineSettings, Constraint):
    free = {"plan", "evidence", "policy", "sampling", "flags", "schema"}.intersection(kind.__dataclass_fields__)
    st.register_type_strategy(
        kind, st.builds(kind, **{name: st.dictionaries(texts, values, max_size=2) for name in free})
    )
closed = st.one_of(*(st.from_type(kind) for kind in (Feedback, RequestRecord, ModelVersion)))
records = closed | st.one_of(*(st.from_type(kind) for kind in (Deployment, Finding, GateDecision, Release)))


@given(records)
def test_every_record_comes_back_from_its_bytes(record: Any) -> None:
    body = canonical_bytes(record)
    again = parse(body, type(record))
    assert canonical_bytes(again) == body
    assert fingerprint(again) == fingerprint(record) and name_of(again) == name_of(record)


@given(closed, st.data())
def test_two_records_have_the_same_bytes_exactly_when_they_have_the_same_content(one: Any, draw: st.DataObject) -> None:
    other = draw.draw(st.from_type(type(one)))
    field = draw.draw(st.sampled_from([field.name for field in fields(one)]))
    two = replace(one, **{field: getattr(other, field)})
    assert (canonical_bytes(one) == canonical_bytes(two)) == (one == two)


def test_a_number_has_one_spelling_however_it_was_written() -> None:
    assert canonical_bytes(feedback_record(id="x", request="y", score=1)) == canonical_bytes(
        feedback_record(id="x", request="y", score=1.0)
    )
    assert canonical_json([-0.0, 1e22, 0.1, 2**64 - 1]) == b"[0.0,1e+22,0.1,18446744073709551615]"


@pytest.mark.parametrize(
    "wrong", [{"outcome": "fine"}, {"attempts": 1.5}, {"stream": 1}, {"id": None}, {"status": True}]
)
def test_a_record_with_a_field_of_another_type_is_refused_before_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="not a RequestRecord"):
        canonical_bytes(request_record(**wrong))


@given(values, st.randoms())
def test_the_order_of_keys_does_not_matter(value: Any, random: Any) -> None:
    def shuffled(item: Any) -> Any:
        if isinstance(item, dict):
            pairs = list(item.items())
            random.shuffle(pairs)
            return {key: shuffled(inner) for key, inner in pairs}
        return tuple(map(shuffled, item)) if isinstance(item, list) else item

    assert canonical_json(shuffled(value)) == canonical_json(value)
    assert fingerprint_of(shuffled(value)) == fingerprint_of(value)


@given(values)
def test_canonical_json_is_json_of_the_same_value_in_utf8(value: Any) -> None:
    body = canonical_json(value)
    assert json.loads(body) == value
    assert canonical_json(json.loads(body)) == body


@given(values, values)
def test_different_values_have_different_bytes(one: Any, two: Any) -> None:
    if canonical_json(one) == canonical_json(two):
        assert one == two


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, b"bytes", {1, 2}, {1: "key"}, object(), 1j, 2**64, -(2**63) - 1, "\ud800"]
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [{"deep": (value,)}]])
def test_what_has_no_canonical_form_is_refused(value: object, wrap: Any) -> None:
    with pytest.raises(InputError):
        canonical_json(wrap(value))


def test_a_record_with_nan_inside_has_no_name() -> None:
    with pytest.raises(InputError, match="nan has no canonical form"):
        fingerprint(request_record(total_ms=math.nan))
    with pytest.raises(InputError):
        canonical_bytes(deployment_record(plan={"share": math.inf}))


def altered(**changes: Any) -> bytes:
    document = json.loads(canonical_bytes(feedback_record()))
    document["content"] |= changes
    return canonical_json(document)


@pytest.mark.parametrize(
    "body",
    [
        altered(unknown=1),
        altered(score="high"),
        altered(at_ms=1.5),
        altered(has_comment=1),
        b"",
        b"null",
        b"[]",
        b"{}",
        b"not json",
        canonical_bytes(feedback_record()) + b" ",
        canonical_bytes(feedback_record()).replace(b'"version":1', b'"version":2'),
        canonical_bytes(deployment_record()),
        json.dumps(json.loads(canonical_bytes(feedback_record()))).encode(),
    ],
)
def test_bytes_that_are_not_exactly_a_record_are_refused(body: bytes) -> None:
    with pytest.raises(CorruptionError):
        parse(body, Feedback)


def test_a_record_from_before_a_field_was_added_keeps_its_bytes() -> None:
    body = canonical_bytes(request_record())
    assert b"mirrors" not in body and b"forced" not in body and b"answered_by" in body
    assert canonical_bytes(parse(body, RequestRecord)) == body
    shadow = request_record(mirrors="r1", forced=True)
    assert parse(canonical_bytes(shadow), RequestRecord) == shadow


def test_a_missing_field_is_refused() -> None:
    document = json.loads(canonical_bytes(feedback_record()))
    del document["content"]["label"]
    with pytest.raises(CorruptionError):
        parse(canonical_json(document), Feedback)


def test_a_record_from_before_a_field_keeps_its_bytes_and_its_name() -> None:
    plain, judged = feedback_record(), feedback_record(judge="ann")
    assert "judge" not in json.loads(canonical_bytes(plain))["content"]
    assert parse(canonical_bytes(plain), Feedback).judge is None
    assert parse(canonical_bytes(judged), Feedback) == judged
    with pytest.raises(CorruptionError):
        parse(altered(judge=None), Feedback)  # one content, one byte string


def test_type_and_version_are_part_of_the_name() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Feedback2:
        VERSION = 1
        text: str

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Feedback3:
        VERSION = 1
        text: str

    assert fingerprint(Feedback2(text="x")) != fingerprint(Feedback3(text="x"))


def test_there_are_eleven_kinds_each_with_a_version_and_a_project() -> None:
    assert len(KINDS) == 11
    assert all(kind.VERSION >= 1 and "project" in kind.__dataclass_fields__ for kind in KINDS.values())  # type: ignore[attr-defined]


def test_changing_one_field_changes_the_name() -> None:
    record = deployment_record()
    assert fingerprint(record) != fingerprint(replace(record, reason="another"))
    assert Message(role="user", content="a") != Message(role="system", content="a")
