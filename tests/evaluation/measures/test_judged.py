"""A judge is asked in both orders; its verdicts are read strictly, and compared with people's votes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chat_server import ERROR, chat_server
from flyball.errors import InputError
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measures.judged import verdict_in
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.url_evaluation import evaluate_url
from flyball.records import EvalReport


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Both are fine.\nVerdict: A", "first"),
        ("**Verdict: B**", "second"),
        ("verdict - Tie.", "tie"),
        ("Final verdict: [B]", "second"),
        ("My verdict is [[A]].", "first"),
        ("It is close: [[C]]", "tie"),
        ("B", "second"),
        ("Verdict: A\n\nVerdict: A", "first"),
        ("<think>Verdict: A? No.\nVerdict: A</think>\nVerdict: B", "second"),
        ("Verdict: A\nVerdict: B", None),
        ("Verdict: A or B", None),
        ("A verdict is hard", None),
        ("Verdict:", None),
        ("Answer A is better", None),
        ("", None),
    ],
)
def test_a_reply_has_one_verdict_or_is_malformed(reply: str, verdict: str | None) -> None:
    assert verdict_in(reply) == verdict


def shown(text: str) -> tuple[str, str]:
    """The answers in the order in which a judge sees them."""
    found = re.findall(r"\[Answer [AB]\]\n(.*?)\n\[End\]", text, re.S)
    return found[0], found[1]


def longer(text: str, _number: int) -> str:
    """A judge who prefers what is longer."""
    a, b = shown(text)
    return "Verdict: tie" if len(a) == len(b) else f"It says more.\nVerdict: {'A' if len(a) > len(b) else 'B'}"


def judged(
    folder: Path, rows: list[dict[str, Any]], judge: Callable[[str, int], object]
) -> tuple[EvalReport, list[ItemScore]]:
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with chat_server(judge) as server:
        return evaluate_url(
            server.url, model="judge", suite_paths=[f"preferences:{folder / 'pairs.jsonl'}"], out=folder / "out"
        )


def values(report: EvalReport) -> dict[str, float]:
    return {measure.name: measure.value for measure in report.measures}


def test_verdicts_are_compared_with_the_majority_of_votes(tmp_path: Path) -> None:
    rows = [
        {"question": "one?", "first": "short", "second": "much longer", "votes": [2, 2, 1]},
        {"question": "two?", "first": "long enough", "second": "short", "votes": ["second", "second", "tie"]},
        {"question": "three?", "first": "equal", "second": "EQUAL", "votes": ["tie"]},
        {"question": "four?", "first": "a", "second": "bb", "votes": [0, 1, 2]},
        {"question": "five?", "first": "a", "second": "bb"},
    ]
    report, scores = judged(tmp_path, rows, longer)
    found = values(report)
    assert found["agreement"] == pytest.approx(2 / 3) and found["kappa"] == pytest.approx(0.5)
    assert found["win_rate"] == pytest.approx((1 + 0 + 0.5 + 1 + 1) / 5)
    assert found["consistent"] == 1.0 and found["malformed"] == found["errors"] == 0.0
    assert {score.answer for score in scores} <= {"first", "second", "tie", None}
    suite = load_suite("preferences:pairs.jsonl", dataset_dir=None, root=tmp_path)
    assert suite.notes[0].endswith("1 of 4 pairs with votes have no majority; they count for no agreement")
    assert "two people agree on 22.2% of the pairs" in suite.notes[1]


def test_a_judge_that_prefers_a_place_wins_nothing_for_it(tmp_path: Path) -> None:
    rows = [{"question": f"{at}?", "first": "one", "second": "other", "votes": [1]} for at in range(4)]
    found = values(judged(tmp_path, rows, lambda _text, _number: "Verdict: A")[0])
    assert (found["win_rate"], found["consistent"], found["agreement"]) == (0.5, 0.0, 0.0)


def test_malformed_and_missing_replies_stay_in_the_denominators(tmp_path: Path) -> None:
    rows = [{"question": f"{at}?", "first": "one", "second": "the other", "votes": [2]} for at in range(4)]

    def judge(text: str, number: int) -> object:
        return "I like both" if "0?" in text else ERROR if "1?" in text else longer(text, number)

    report, scores = judged(tmp_path, rows, judge)
    found = values(report)
    assert (found["agreement"], found["win_rate"], found["malformed"], found["errors"]) == (0.5, 0.5, 0.5, 0.25)
    assert all(measure.n == 4 for measure in report.measures)
    assert sum(bool(score.error) for score in scores if score.measure == "malformed") == 1


def test_a_rubric_and_a_reference_reach_the_judge_and_no_text_the_scores(tmp_path: Path) -> None:
    asked: list[str] = []

    def judge(text: str, number: int) -> object:
        asked.append(text)
        return longer(text, number)

    row = {"question": "Why?", "first": "So.", "second": "Because.", "rubric": "Prefer rhymes.", "reference": "Hence."}
    judged(tmp_path, [row], judge)
    assert sorted(map(shown, asked)) == [("Because.", "So."), ("So.", "Because.")]
    assert all("Prefer rhymes." in text and "Hence." in text for text in asked)
    kept = (tmp_path / "out/items.jsonl").read_text()
    assert not any(text in kept for text in ("Why?", "So.", "Because.", "rhymes", "Hence"))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"first": "a", "second": "b"}, "none of its columns asks"),
        ({"question": "q", "first": "a"}, "it has no two answers"),
        ({"question": "q", "first": "a", "second": "b", "votes": [3]}, "a vote is 3, not first, second or tie"),
        ({"question": "q", "first": "a", "second": "b", "votes": [None]}, "a vote is None"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: dict[str, Any], what: str) -> None:
    (tmp_path / "pairs.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match=what) as refused:
        load_suite("preferences:pairs.jsonl", dataset_dir=None, root=tmp_path)
    assert "pairs.jsonl:1" in str(refused.value)


def data() -> Path:
    if not (folder := os.environ.get("FLYBALL_DATA")):
        pytest.skip("FLYBALL_DATA names no folder")
    return Path(folder)


def test_pandalms_votes_are_read_and_a_judge_is_compared_with_them(tmp_path: Path) -> None:
    path = data() / "pandalm_human_preferences/testset.jsonl.gz"
    suite = load_suite(f"preferences:{path}", dataset_dir=None, root=Path("/"))
    votes = {"first": "A", "second": "B", "tie": "tie"}
    said = {item.messages[0].content: votes[item.expected or "tie"] for item in suite.items}
    back = {"A": "B", "B": "A", "tie": "tie"}
    said |= {item.original[0].content: back[said[item.messages[0].content]] for item in suite.items if item.original}
    with chat_server(lambda text, _: f"Verdict: {said[text]}") as server:
        perfect, _ = evaluate_url(
            server.url, model="people", suite_paths=[f"preferences:{path}"], out=tmp_path / "people"
        )
    with chat_server(longer) as server:
        lengths, _ = evaluate_url(
            server.url, model="longer", suite_paths=[f"preferences:{path}"], out=tmp_path / "longer"
        )
    assert values(perfect)["agreement"] == values(perfect)["kappa"] == 1.0
    found = {measure.name: measure for measure in lengths.measures}
    assert 0.3 < found["agreement"].value < 0.75 and 0.0 < found["kappa"].lower < found["kappa"].value < 0.5
    assert suite.notes == (
        "testset.jsonl.gz: 61 of 597 rows repeat another (the same pair and votes) and count once",
        "testset.jsonl.gz: two people agree on 89.7% of the pairs that both judged (kappa 0.82)",
    )


def test_mt_benchs_reference_answers_win_over_cut_ones(tmp_path: Path) -> None:
    folder = data() / "mt_bench"
    questions = {
        row["question_id"]: row
        for row in map(json.loads, (folder / "mt_bench_question.jsonl").read_text().splitlines())
    }
    rows = []
    for line in (folder / "mt_bench_reference_gpt4.jsonl").read_text().splitlines():
        row = json.loads(line)
        whole = row["choices"][0]["turns"][0]
        question = questions[row["question_id"]]["turns"][0]
        rows.append({"question": question, "first": whole[: len(whole) // 2], "second": whole, "votes": ["second"]})
    found = values(judged(tmp_path, rows, longer)[0])
    assert (found["win_rate"], found["agreement"], found["consistent"]) == (1.0, 1.0, 1.0)
