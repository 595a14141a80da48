"""A judge rates single answers: what it can read, what counts as failed, resuming, and correction by labels.

The judge is a double: a scripted server that reads the answer it is shown.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest

from chat_server import ERROR, Limited, chat_server
from flyball.cli.main import run
from flyball.errors import ConfigError, InputError, NotFoundError
from flyball.evaluation.answer_judge import Judge
from flyball.evaluation.suites.catalog import load_suite

RUBRIC = "5 is right, 1 is wrong."


def project(folder: Path, judge_url: str, *, cases: int, **more: object) -> Path:
    (folder / "judges").mkdir(exist_ok=True)
    (folder / "judges/strict.yaml").write_text(json.dumps({"url": judge_url, "rubric": RUBRIC, **more}))
    lines = [json.dumps({"text": f"Is {n} odd?", "label": "yes" if n % 2 else "no"}) for n in range(cases)]
    (folder / "cases.jsonl").write_text("\n".join(lines))
    return folder


def evaluated(folder: Path, url: str, out: str, code: int = 0) -> dict[str, dict[str, float]]:
    ask = ["evaluate", url, "--model", "m", "--suite", "rated:strict:cases.jsonl", "--out", str(folder / out)]
    assert run(ask) == code
    measures = msgspec.json.decode((folder / out / "report.json").read_bytes())["report"]["measures"]
    return {one["name"]: one for one in measures if one.get("slice") is None}


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("It is fine.\nRating: 4", 0.75),
        ("**Rating: 5/5**", 1.0),
        ("1", 0.0),
        ("Rating: 6", None),
        ("Rating: 2\nRating: 3", None),
        ("I rate it highly.", None),
        ("Rating: 4.5", None),
        ("", None),
        ("<think>Rating: 2? No.\nRating: 3</think>\n\nRating: 4", 0.75),
        ("Rating: 2? No.\n</think>\nRating: 5", 1.0),
        ("<think>\nRating: 2\n", None),
    ],
)
def test_a_reply_gives_one_rating_on_the_scale_or_none(reply: str, score: float | None) -> None:
    assert Judge(url="u", rubric=RUBRIC).rating_in(reply) == score


@pytest.mark.parametrize(
    ("reply", "score"),
    [("4/5", 0.75), ("Rating: 4/5", 0.75), ("Rating: 4/10", None), ("9" * 5000, None), ("Rating: " + "1" * 5000, None)],
)
def test_a_rating_is_of_the_judges_own_scale_and_of_a_sane_length(reply: str, score: float | None) -> None:
    assert Judge(url="u", rubric=RUBRIC).rating_in(reply) == score


def test_a_rating_keeps_its_sign() -> None:
    judge = Judge(url="u", rubric=RUBRIC, scale=(-2, 2))
    assert [judge.rating_in(one) for one in ("Rating: -1", "Rating:-1", "-1", "**Rating: 1**")] == [
        0.25,
        0.25,
        0.25,
        0.75,
    ]
    assert judge.score_of("--1") is None


@pytest.mark.parametrize("reply", ["\n" * 50_000, "\n- " * 20_000, "rating" + ":" * 50_000 + "x", "-" * 50_000 + "x"])
def test_a_reply_of_signs_alone_is_read_in_linear_time(reply: str) -> None:
    began = time.process_time()
    assert Judge(url="u", rubric=RUBRIC).rating_in(reply) is None
    assert time.process_time() - began < 2


def test_a_judge_may_pass_or_fail() -> None:
    judge = Judge(url="u", rubric=RUBRIC, scale="pass_fail")
    said = ("Rating: pass", "Rating: FAIL", "Rating: 1")
    assert [judge.rating_in(one) for one in said] == [1.0, 0.0, None]


def test_what_cannot_be_read_or_fails_counts_as_the_lowest_rating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def judge(said: str, _: int) -> object:
        if "Is 0 odd" in said:
            return Limited("No idea.")
        return ERROR if "Is 1 odd" in said else "Rating: 5"

    with chat_server(judge) as rating, chat_server(lambda said, _: ERROR if "Is 2 " in said else "yes") as answering:
        project(tmp_path, rating.url, cases=10)
        found = evaluated(tmp_path, answering.url, "out")
        assert len(rating.asked) == 9 and "Is 3 odd?" in "".join(rating.asked) and RUBRIC in rating.asked[0]
    assert found["rating"]["n"] == 10 and found["rating"]["value"] == pytest.approx(0.7)
    assert found["malformed"]["value"] == pytest.approx(0.3) and found["errors"]["value"] == pytest.approx(0.1)
    notes = msgspec.json.decode((tmp_path / "out/report.json").read_bytes())["details"]["notes"]
    assert any("the judge gave no rating of 1 answers; 1 ×" in one and "out of memory" in one for one in notes)
    assert any("1 replies of the judge cannot be read (1 end at the token limit" in one for one in notes)
    assert any(one.endswith("one ends: No idea.") for one in notes)
    assert "rating_corrected" not in found and not list((tmp_path / "out").glob("*ratings*"))


def test_a_killed_evaluation_asks_for_no_rating_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with chat_server(lambda *_: "Rating: 3") as rating, chat_server(lambda *_: "yes") as answering:
        project(tmp_path, rating.url, cases=5)
        with monkeypatch.context() as patched:
            patched.setattr("flyball.evaluation.evaluation_run.report_scores", killed)
            ask = ["evaluate", answering.url, "--model", "m", "--suite", "rated:strict:cases.jsonl", "--out", "out"]
            assert run(ask) != 0
        assert evaluated(tmp_path, answering.url, "out")["rating"]["value"] == 0.5
        assert len(rating.asked) == len(answering.asked) == 5


def test_people_correct_a_judge_that_is_too_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server always says yes, so half of the answers are right; the judge passes four fifths of them."""
    monkeypatch.chdir(tmp_path)

    def kind(said: str, _: int) -> str:
        number = int(said.split("Is ")[1].split()[0])
        return "Rating: 5" if number % 2 or number % 5 < 3 else "Rating: 1"

    with chat_server(kind) as rating, chat_server(lambda *_: "yes") as answering:
        project(tmp_path, rating.url, cases=600)
        evaluated(tmp_path, answering.url, "before")
        lines = [json.loads(line) for line in (tmp_path / "before/answers.jsonl").read_text().splitlines()]
        labels = [{**one, "label": 5 if int(one["question"].split()[1]) % 2 else 1} for one in lines]
        (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels[:150])))
        project(tmp_path, rating.url, cases=600, labels="labels.jsonl")
        with pytest.raises(InputError, match="holds 150 labels: 50 are missing"):
            load_suite("rated:strict:cases.jsonl", dataset_dir=None, root=tmp_path)
        (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels[:250])))
        found = evaluated(tmp_path, answering.url, "after")
        with chat_server(lambda *_: "no") as other:
            evaluated(tmp_path, other.url, "other")
        (tmp_path / "labels.jsonl").write_text("\n".join(json.dumps(one | {"label": 5}) for one in labels[:250]))
        assert "rating_corrected" not in evaluated(tmp_path, answering.url, "alike"), "it would have no width"
    raw, corrected = found["rating"], found["rating_corrected"]
    assert raw["value"] == pytest.approx(0.8) and raw["lower"] > 0.5
    assert corrected["lower"] < 0.5 < corrected["upper"] and found["human_rating"]["n"] == 250
    assert r"rating\_corrected" in (tmp_path / "after/report.md").read_text()
    notes = msgspec.json.decode((tmp_path / "other/report.json").read_bytes())["details"]["notes"]
    assert "all 250 labels are the same" in (tmp_path / "alike/report.json").read_text()
    assert any("0 labels are of answers in this evaluation, 200 are missing" in one for one in notes)


def test_what_is_wrong_in_a_judge_is_named(tmp_path: Path) -> None:
    def load() -> None:
        load_suite("rated:strict:cases.jsonl", dataset_dir=None, root=tmp_path)

    project(tmp_path, "http://127.0.0.1:1/v1", cases=2, scale=[5, 1])
    with pytest.raises(ConfigError, match="is empty"):
        load()
    project(tmp_path, "http://127.0.0.1:1/v1", cases=2, labels="labels.jsonl")
    with pytest.raises(NotFoundError, match="no labels at"):
        load()
    (tmp_path / "labels.jsonl").write_text('{"item": "a", "answer": "b", "label": 9}')
    with pytest.raises(InputError, match=r"labels.jsonl:1: the label 9.0 is not on the judge's scale"):
        load()
    twice = ['{"item": "a", "answer": "b", "label": 4}', "", '{"item": "a", "answer": "b", "label": 2}']
    (tmp_path / "labels.jsonl").write_text("\n".join(twice), encoding="utf-8-sig")  # as Windows programs write it
    with pytest.raises(InputError, match=r"labels.jsonl:3: an answer has the label 2.0 here and another in line 1"):
        load()
    (tmp_path / "judges/strict.yaml").unlink()
    with pytest.raises(NotFoundError, match="no judge"):
        load()
