"""Precision, recall and F1 by class, micro and macro are scikit-learn's, and their intervals hold."""

from __future__ import annotations

import random

import pytest

from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.classes import class_measures
from flyball.records import Measure

# z: an answer that is no label. scikit-learn 1.9.1: precision_recall_fscore_support(…, labels=list("abcd"))
TRUTHS = (
    "babcaadbabbabaaabbaaabbadbaaccbabbbaaabdabbababbbdcaabbcababcabababcbbdbbbbbbadacdaabbbbbcbbbaabbadbabbacadbbddbbcbb"
    "bbdbadabbccaaccbcbcdbbcbcbabbababaadbacabbdbaabbbbadbdbbcbbcbaaaaaacaabdbabbaabbbbbb"
)
ANSWERS = (
    "zabzaadbabbabaaabbazabzaddaaccbabbcaaabaabbazabbbbdbabadabdccababazdcaabbbcbdaabadbabbbbbcabdbbbbacbabczzazbbdbbbcbz"
    "bbdbzdabbccaaccbcbcdzcbbcbabbabacadddbbabbdbaabbdbadbbabcbbcbcaaaaacbabaaabbaadcbbac"
)
SKLEARN = {
    ("macro_precision", None): 0.6806964210652735,
    ("macro_recall", None): 0.6719824924630415,
    ("macro_f1", None): 0.6739598420013166,
    ("micro_precision", None): 0.7606382978723404,
    ("micro_f1", None): 0.7371134020618557,
    **{("precision", c): v for c, v in zip("abcd", (0.81967213, 0.85, 0.57692308, 0.47619048), strict=True)},
    **{("recall", c): v for c, v in zip("abcd", (0.79365079, 0.71578947, 0.65217391, 0.52631579), strict=True)},
    **{("f1", c): v for c, v in zip("abcd", (0.80645161, 0.77714286, 0.6122449, 0.5), strict=True)},
}


def measured(truths: str, answers: str, level: float = 0.95) -> dict[tuple[str, str | None], Measure]:
    scores = [
        ItemScore(
            suite="s",
            item=str(k),
            measure="accuracy",
            score=float(t == a),
            expected=t,
            answer=None if a == "z" else a,
        )
        for k, (t, a) in enumerate(zip(truths, answers, strict=True))
    ]
    return {(m.name, m.slice): m for m in class_measures("s", scores, level)}


def test_values_are_scikit_learns() -> None:
    found = measured(TRUTHS, ANSWERS)
    assert {key: m.value for key, m in found.items()} == pytest.approx(SKLEARN, abs=1e-8)
    assert all(m.lower <= m.value <= m.upper for m in found.values())


def test_values_are_those_of_the_scikit_learn_that_is_installed() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    for name, average in (("macro_f1", "macro"), ("micro_f1", "micro")):
        expected = metrics.f1_score(list(TRUTHS), list(ANSWERS), labels=list("abcd"), average=average)
        assert measured(TRUTHS, ANSWERS)[name, None].value == pytest.approx(expected)


def test_one_class_no_answer_and_all_wrong_have_values() -> None:
    assert measured("aaaa", "aaaa")["macro_f1", None].value == 1.0
    silent = measured("aabb", "zzzz")
    assert silent["micro_f1", None].value == silent["f1", "a"].value == 0.0 and ("precision", "a") not in silent


def test_the_limits_of_a_classs_f1_hold() -> None:
    dice, hits, runs = random.Random(1), 0, 60
    true = 2 * (0.5 * 0.8) / (0.5 + 0.5 * 0.8 + 0.5 * 0.2)  # two classes, each right with .8
    for _ in range(runs):
        truths = [dice.choice("ab") for _ in range(150)]
        answers = [t if dice.random() < 0.8 else "ab"[t == "a"] for t in truths]
        m = measured("".join(truths), "".join(answers))["f1", "a"]
        hits += m.lower <= true <= m.upper
    assert hits >= 0.9 * runs
