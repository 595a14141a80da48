"""Token F1, ROUGE-L and BLEU give the values of SQuAD's script, rouge-score and sacrebleu."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.evaluation.measures.bleu import bleu
from flyball.evaluation.measures.rouge_l import common_length, rouge_l
from flyball.evaluation.measures.token_f1 import token_f1

# answer, reference, rouge-score 0.1.2 (rougeL, no stemmer), sacrebleu 2.6.0 (BLEU(effective_order=True), sentence)
STORED = [
    ("The cat sat on the mat.", "the cat is on the mat", 0.833333333, 0.262690989),
    ("It's a Test_case, number 42!", "its a test case number 42", 0.769230769, 0.113395822),
    ("completely different", "nothing alike here", 0.0, 0.0),
    ("a b c d e f", "f e d c b a", 0.166666667, 0.127033187),
    ("Paris, France", "France", 0.666666667, 0.275160604),
    (
        "the quick brown fox jumps over the lazy dog",
        "a quick brown dog jumps over the lazy fox today",
        0.631578947,
        0.341306535,
    ),
    ("", "x", 0.0, 0.0),
]


@pytest.mark.parametrize(("answer", "reference", "rouge", "_bleu"), STORED)
def test_rouge_l_is_that_of_rouge_score(answer: str, reference: str, rouge: float, _bleu: float) -> None:
    assert rouge_l(answer, reference) == pytest.approx(rouge, abs=1e-9)


@pytest.mark.parametrize(("answer", "reference", "_rouge", "expected"), STORED)
def test_bleu_is_that_of_sacrebleu_where_it_is_installed(
    answer: str, reference: str, _rouge: float, expected: float
) -> None:
    found = bleu(answer, reference)
    if found is None:
        pytest.skip("sacrebleu is not installed")
    assert found == pytest.approx(expected, abs=1e-9)


def test_rouge_l_knows_words_of_every_script() -> None:
    assert rouge_l("Grüße aus Köln", "Viele Grüße aus Köln") == pytest.approx(6 / 7)
    assert rouge_l("Привет мир", "привет, мир!") == 1.0


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_the_common_subsequence_is_as_long_as_the_textbook_says(one: list[str], other: list[str]) -> None:
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    assert common_length(one, other) == table[-1][-1]


@pytest.mark.parametrize(
    ("answer", "reference", "f1"),
    [
        ("The Eiffel Tower", "eiffel tower!", 1.0),
        ("in Paris, France", "Paris", 0.5),
        ("London", "Paris", 0.0),
        ("", "Paris", 0.0),
        ("the", "a", 1.0),  # SQuAD 2's script: two texts without words are equal
        ("a a b", "a b b", 2 / 3),  # the article a does not count
    ],
)
def test_token_f1_is_that_of_squad(answer: str, reference: str, f1: float) -> None:
    assert token_f1(answer, reference) == pytest.approx(f1)
