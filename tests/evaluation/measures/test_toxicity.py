"""Answers that a trained classifier looks at: shares, their correction, gates, and what may be named."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from chat_server import ERROR, chat_server
from flyball.cli.main import run
from flyball.errors import ConfigError, CorruptionError, InputError, NotFoundError
from flyball.evaluation.case_answers import Answer
from flyball.evaluation.scorer import score_suite
from flyball.evaluation.suites.catalog import load_suite
from flyball.rollout.config import GateRule
from flyball.rollout.gate_pairs import against_live
from flyball.training.classifier_rows import Columns
from flyball.workflows.classifiers import train_classifier
from invented_insults import invented_texts, write_invented

TEXTS = dict(invented_texts(300, seed=3))


def case(text: str) -> dict[str, object]:
    return {"text": f"{text} Say it again.", "label": "any"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toxicity")
    rows = write_invented(folder / "rows.jsonl", 1600)
    train_classifier(folder, "rude", [rows], Columns(text="words", label="kind", positive="rude"), say=print)
    (folder / "cases.jsonl").write_text("\n".join(json.dumps(case(text)) for text in TEXTS))
    return folder


def test_an_evaluation_measures_corrects_and_gates(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server repeats what it is asked, and fails once."""
    monkeypatch.chdir(root)
    rule = "gate:\n  rules:\n  - {suite: toxicity-rude-cases, measure: toxic, at_most: %s}\n"
    (root / "strict.yaml").write_text(rule % 0.05)
    (root / "lenient.yaml").write_text(rule % 0.9)
    first = next(iter(TEXTS))
    with chat_server(lambda said, _: ERROR if first in said else said.removesuffix(" Say it again.")) as server:
        ask = ["evaluate", server.url, "--model", "m", "--suite", "toxicity:rude:cases.jsonl"]
        assert run([*ask, "--gate", "strict.yaml", "--out", "strict"]) == 3
        assert run([*ask, "--gate", "lenient.yaml", "--out", "lenient"]) == 0
    report = msgspec.json.decode((root / "strict/report.json").read_bytes())["report"]
    measures = {one["name"]: one for one in report["measures"]}
    truth = sum(label == "rude" for label in TEXTS.values()) / len(TEXTS)
    assert measures["toxic"]["n"] == 300 and measures["toxic"]["value"] == pytest.approx(truth, abs=0.08)
    assert measures["nontoxic"]["value"] == pytest.approx(1 - measures["toxic"]["value"])
    corrected = measures["toxic_corrected"]
    assert corrected["n"] == 299 and corrected["lower"] <= truth <= corrected["upper"]
    assert r"toxic\_corrected" in (root / "strict/report.md").read_text()


def test_a_case_without_an_answer_counts_as_toxic(root: Path) -> None:
    suite = load_suite("toxicity:rude:cases.jsonl", dataset_dir=None, root=root)
    answers = {item.key: Answer(key=item.key, total_ms=1.0, error="no answer") for item in suite.items}
    scores = list(score_suite(suite, answers, classification=False))
    assert {(one.measure, one.score) for one in scores} == {("toxic", 1.0), ("nontoxic", 0.0), ("latency_ms", 1.0)}


def test_pairs_with_live_are_refused_because_less_is_better() -> None:
    rule = GateRule(suite="s", measure="toxic", not_worse_than_live=0.05)
    with pytest.raises(ConfigError, match="less toxic is better"):
        against_live(rule, None, None, -0.05, 0.05)  # type: ignore[arg-type]


def test_another_classifier_makes_another_suite(root: Path, tmp_path: Path) -> None:
    before = load_suite("toxicity:rude:cases.jsonl", dataset_dir=None, root=root)
    header = root / "classifiers/rude/header.json"
    text = header.read_text()
    answers = {item.key: Answer(key=item.key, total_ms=1.0, text="hm") for item in before.items}
    try:
        header.write_text(text.replace('"C": ', '"C":  '))
        after = load_suite("toxicity:rude:cases.jsonl", dataset_dir=None, root=root)
        assert before.reference().fingerprint != after.reference().fingerprint
        with pytest.raises(CorruptionError, match="changed during"):
            list(score_suite(before, answers, classification=False))
    finally:
        header.write_text(text)


@pytest.mark.parametrize(
    "name, error, said",
    [
        ("toxicity:nobody:cases.jsonl", NotFoundError, "classifier train nobody"),
        ("toxicity:../rude:cases.jsonl", InputError, "no name of a classifier"),
        ("toxicity:cases.jsonl", InputError, "toxicity:CLASSIFIER:FILE"),
        ("toxicity:rude:test", InputError, "toxicity:CLASSIFIER:FILE"),
        ("toxicity:rude:none.jsonl", NotFoundError, "none.jsonl"),
        ("toxicity:rude:texts:texts.jsonl", InputError, "no answers in words"),
        ("toxicity:rude:", InputError, ""),
    ],
)
def test_a_name_that_leads_nowhere_says_so(root: Path, name: str, error: type[Exception], said: str) -> None:
    (root / "texts.jsonl").write_text('{"text": "one"}\n')
    with pytest.raises(error) as raised:
        load_suite(name, dataset_dir=None, root=root)
    assert said in str(raised.value)
