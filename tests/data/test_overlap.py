"""Cases of a suite that the training rows hold are found; those that only sound alike are not."""

from __future__ import annotations

import random
from collections.abc import Sequence

from flyball.data.overlap import COMMON_ROWS, LEAST_FRAMED, CaseIndex, Overlap

FIRST, LAST = ("ba", "ko", "mi", "tu", "re", "so", "la", "ne", "di", "fu"), ("lan", "ter", "mok", "sip", "rund", "ve")
WORDS = [first + last for first in FIRST for last in LAST]


def sentence(random_words: random.Random, words: int) -> str:
    return " ".join(random_words.choices(WORDS, k=words))


def reworded(random_words: random.Random, text: str) -> str:
    """Another word in one place, and one that is left out at the end."""
    words = text.split()
    words[random_words.randrange(len(words))] = "instead"
    return " ".join(words[:-1])


def find_overlaps(cases: dict[str, str], rows: Sequence[tuple[str, str]]) -> dict[str, Overlap]:
    index = CaseIndex(cases)
    for row, text in rows:
        index.compare(row, text)
    return {overlap.case: overlap for overlap in index.overlaps()}


def kinds(cases: dict[str, str], rows: Sequence[str]) -> dict[str, str]:
    found = find_overlaps(cases, [(f"row {at}", row) for at, row in enumerate(rows)])
    return {case: overlap.kind for case, overlap in found.items()}


def test_planted_leaks_are_found_and_unrelated_cases_are_not() -> None:
    draw = random.Random(18)
    rows = [sentence(draw, draw.randint(5, 40)) for _ in range(3_000)]
    long = [row for row in rows if len(row.split()) >= 20]
    cases: dict[str, str] = {}
    for at, row in enumerate(draw.sample(rows, 40)):
        cases[f"equal {at}"] = f"  {row.upper().replace(' ', ', ')}! "
    for at, row in enumerate(draw.sample(long, 40)):
        start = draw.randrange(len(row.split()) - 14)
        passage = " ".join(row.split()[start : start + 15])
        cases[f"passage {at}"] = f"{sentence(draw, 30)} {passage} {sentence(draw, 30)}"
    for at, row in enumerate(draw.sample(long, 40)):
        cases[f"near {at}"] = reworded(draw, row)
    cases |= {f"new {at}": sentence(draw, draw.randint(5, 40)) for at in range(1_000)}
    found = find_overlaps(cases, [(f"row {at}", row) for at, row in enumerate(rows)])
    assert {found[f"equal {at}"].kind for at in range(40)} == {"equal"}
    assert {found[f"passage {at}"].kind for at in range(40)} == {"passage"}
    assert sum(f"near {at}" in found for at in range(40)) >= 38
    assert sum(case.startswith("new") for case in found) < 10


def test_an_overlap_names_the_row() -> None:
    found = find_overlaps({"a": "Where is it?", "b": "hello"}, [("r1", "nothing"), ("r2", "where is it")])
    assert [(one.case, one.row, one.kind) for one in found.values()] == [("a", "r2", "equal")]


def test_texts_that_differ_in_a_sign_alone_are_not_equal() -> None:
    assert kinds({"a": "great 😀", "b": "😀"}, ["great 😡", "😡", "great"]) == {}


def test_scripts_without_blanks_are_compared_by_characters() -> None:
    passage = "我们的客户服务中心每天上午九点到下午六点都有工作人员值班接听您的电话"
    draw = random.Random(1)
    other = ["".join(draw.choices("天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏", k=40)) for _ in range(50)]
    cases = {"passage": f"{other[0][:30]}{passage}{other[1][:30]}", "equal": passage, "new": other[2][:20] + other[3]}
    assert kinds(cases, [f"{other[4]}{passage}{other[5]}", f"{passage}。", *other[6:]]) == {
        "passage": "passage",
        "equal": "equal",
    }


def test_a_footer_in_many_rows_is_no_leak_and_a_passage_in_few_is() -> None:
    draw = random.Random(2)
    footer = sentence(draw, 20)
    case = {"a": f"{sentence(draw, 30)} {footer}"}
    rows = [sentence(draw, 30) for _ in range(100)]
    assert kinds(case, [f"{row} {footer}" for row in rows[: COMMON_ROWS + 1]] + rows) == {}
    assert kinds(case, [f"{row} {footer}" for row in rows[:COMMON_ROWS]] + rows) == {"a": "passage"}
    assert kinds(case, [f"{row} {footer}" for row in rows[:3]]) == {}  # more than half of them


def test_a_question_before_every_case_hides_no_leak_and_makes_none() -> None:
    draw = random.Random(3)
    asked = f"Which of these is it: {sentence(draw, 20)}?"
    rows = [sentence(draw, 9) for _ in range(60)]
    cases = {
        str(at): f"{asked} {text} Answer:" for at, text in enumerate([rows[0], *[sentence(draw, 9) for _ in range(30)]])
    }
    assert len(cases) > LEAST_FRAMED
    assert kinds(cases, rows) == {"0": "equal"}
    assert kinds(cases, [f"{asked} {row} Answer:" for row in rows]) == {"0": "equal"}


def test_no_cases_no_rows_and_texts_without_words_are_nothing_special() -> None:
    assert kinds({}, ["a"]) == {}
    assert kinds({"a": "a", "b": "", "c": "…"}, []) == {}
    assert kinds({"a": "", "b": "?!"}, ["", "?!", "x"]) == {"a": "equal", "b": "equal"}
