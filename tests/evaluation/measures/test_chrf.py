"""chrF is the one of the literature."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.evaluation.measures.chrf import chrf
from flyball.evaluation.measures.exact_fields import exact_fields, json_object

SACREBLEU = [
    ("The cat sat on the mat.", "The cat sat on the mat.", 100.0),
    ("the cat is on the mat", "The cat sat on the mat.", 52.952458731294094),
    ("", "abc", 0.0),
    ("ab", "abc", 63.636363636363626),
    ("Hallo Welt", "Hello world", 18.022894274434634),
    ("completely different words", "zzz qqq", 0.0),
    (
        "The quick brown fox jumps over the lazy dog and runs away",
        "A fast brown fox leapt over a sleeping dog",
        29.017767651721744,
    ),
    ("猫はマットの上に座った", "猫がマットの上に座っていた", 55.742626245740176),
    ("a b c d e f g", "abcdefg", 100.0),
]
"""What sacreBLEU's CHRF().sentence_score gives."""


@pytest.mark.parametrize(("answer", "reference", "score"), SACREBLEU)
def test_it_is_what_sacrebleu_gives(answer: str, reference: str, score: float) -> None:
    assert 100 * chrf(answer, reference) == pytest.approx(score, abs=1e-9)


@given(st.text(max_size=40), st.text(max_size=40))
def test_it_is_what_the_installed_sacrebleu_gives(answer: str, reference: str) -> None:
    metrics = pytest.importorskip("sacrebleu.metrics")
    assert 100 * chrf(answer, reference) == pytest.approx(metrics.CHRF().sentence_score(answer, [reference]).score)


@given(st.text(max_size=40), st.text(max_size=40))
def test_it_is_a_share_and_whole_only_for_what_has_the_same_letters(answer: str, reference: str) -> None:
    assert 0.0 <= chrf(answer, reference) <= 1.0 + 1e-12
    if "".join(answer.split()):
        assert chrf(answer, answer) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ('{"name": "Ann", "age": 3}', 1.0),
        ('```json\n{"age": 3, "name": "Ann"}\n```', 1.0),
        ('{"name": "Ann"}', 0.5),
        ('{"name": "ann", "age": "3"}', 0.0),
        ('{"name": "Ann", "age": 3, "pet": null}', 2 / 3),
        ("Ann is 3", 0.0),
        ("[1]", 0.0),
    ],
)
def test_fields_count_when_name_and_value_are_the_same(answer: str, share: float) -> None:
    assert exact_fields(answer, {"name": "Ann", "age": 3}) == pytest.approx(share)


def test_only_an_object_has_fields() -> None:
    assert json_object('{"a": 1}') == {"a": 1}
    assert json_object("{}") == {} and exact_fields("{}", {}) == 1.0
    assert json_object('"a"') is None and json_object("{'a': 1}") is None
