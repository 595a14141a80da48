"""Numbers of worked solutions are found as lm-evaluation-harness finds them, with values stored from version 0.4.13."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from chat_server import chat_server
from flyball.errors import InputError
from flyball.evaluation.measures.worked_number import flexible, strict
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.url_evaluation import evaluate_url

HARNESS = (
    ("2+2=4\n#### 4", "4", "4"),
    ("#### 1,234.", "1234", "1234"),
    ("#### -7 and #### 8", "-7", "8"),
    ("It costs $1,050.", None, "1050"),
    ("The answer is 12.50 dollars", None, "12.50"),
    ("five", None, None),
    ("It is 3.\nQuestion: What is 9?", None, "3"),
    ("", None, None),
    ("####18", None, "18"),
    ("#### $18", None, "18"),
    ("Well... 5", None, "5"),
    ("5 apples ...", None, ".."),
)
"""(answer, strict-match, flexible-extract) after the harness's filters and exact_match's removals."""


@pytest.mark.parametrize(("text", "first", "last"), HARNESS)
def test_a_number_is_found_as_the_harness_finds_it(text: str, first: str | None, last: str | None) -> None:
    assert (strict(text), flexible(text)) == (first, last)


def test_a_suite_counts_right_numbers_and_answers_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"What is {at} plus 1?", "answer": f"<<{at}+1>>\n#### {at + 1}"} for at in range(4)]
    Path("test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def reply(text: str, _asked: int) -> str:
        at = int(text.split("What is ")[1].split()[0])
        return ("#### 1", "It is 2.", "#### 7", "nothing")[at]

    with chat_server(reply) as server:
        report, _ = evaluate_url(server.url, model="m", suite_paths=["gsm8k:test.jsonl"], out=tmp_path / "out")
    found = {measure.name: (measure.value, measure.n) for measure in report.measures}
    assert (found["strict_match"], found["flexible_match"]) == ((0.25, 4), (0.5, 4))


def test_an_answer_without_a_number_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"question": "How many?", "answer": "many"}\n')
    with pytest.raises(InputError, match=r"bad\.jsonl:1: the answer has no number"):
        load_suite("gsm8k:bad.jsonl", dataset_dir=None, root=tmp_path)


@pytest.mark.realdata
def test_the_published_problems_are_read_whole() -> None:
    if not (data := os.environ.get("FLYBALL_DATA")):
        pytest.skip("FLYBALL_DATA names no folder")
    suite = load_suite("gsm8k:gsm8k/test.jsonl.gz", dataset_dir=None, root=Path(data))
    assert len(suite.items) == 919 and all(item.expected for item in suite.items)
