"""The linear baseline: its labels in ONNX are scikit-learn's, the same rows give the same bytes, bad rows are named."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from flyball.data.rows import Row
from flyball.errors import ConfigError, CorruptionError, InputError
from flyball.inference.label_scorer import LINEAR, LabelScorer
from flyball.inference.text_features import VECTORIZER
from flyball.registry.linear_package import package_linear
from flyball.settings import parse_settings
from flyball.telemetry import quiet
from flyball.training.config import LinearConfig, TrainConfig
from flyball.training.conversations import Head
from flyball.training.linear_graph import linear_graph
from flyball.training.linear_model import asked_text, train_linear
from flyball.training.training_run import recipe_of
from small_models import LABELS, ODD_STRINGS, make_row, rows, write_dataset

PLAIN = LinearConfig()
DATA = Path(os.environ.get("FLYBALL_DATA", "/nonexistent"))


def fit(folder: Path, given: list[Row], held_out: list[Row], config: LinearConfig = PLAIN) -> dict[str, float]:
    write_dataset(folder / "dataset", given, held_out)
    (folder / "out").mkdir(exist_ok=True)
    return train_linear(config, dataset_dir=folder / "dataset", out=folder / "out", threads=1, seed=1, progress=quiet)


def expected_labels(given: list[Row], asked: list[str], strength: float) -> list[str]:
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=100_000)
    matrix = vectorizer.fit_transform([row.text for row in given])
    model = LogisticRegression(C=strength, max_iter=1000, random_state=1).fit(matrix, [row.label for row in given])
    return [str(label) for label in model.predict(vectorizer.transform(asked))]


@pytest.mark.parametrize("labels", [4, 2])
def test_labels_equal_scikit_learns(tmp_path: Path, labels: int) -> None:
    given = [row for row in rows(200, seed=1) if row.label in LABELS[:labels]]
    held_out = [row for row in rows(60, seed=2) if row.label in LABELS[:labels]]
    metrics = fit(tmp_path, given, held_out)
    assert metrics["validation_exact_match"] >= 0.95
    scorer = LabelScorer(tmp_path / "out")
    asked = [*(row.text for row in held_out), *ODD_STRINGS]
    assert [scorer.label(text) for text in asked] == expected_labels(given, asked, metrics["strength"])
    assert sum(scorer("")) == pytest.approx(1, abs=1e-6)
    assert set(scorer.labels) == set(LABELS[:labels])


def test_characters_are_features_beside_words(tmp_path: Path) -> None:
    metrics = fit(tmp_path, rows(100, seed=1), rows(40, seed=2), LinearConfig(characters=4))
    scorer = LabelScorer(tmp_path / "out")
    assert scorer.label("invoiice chargedd") == "billing"
    assert metrics["features"] > 200


def test_the_same_rows_give_the_same_files_and_the_package_holds_them(tmp_path: Path) -> None:
    metrics = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        metrics.append(fit(tmp_path / name, rows(80, seed=1), rows(20, seed=2)))
    first, second = (tmp_path / name / "out" for name in ("one", "two"))
    assert metrics[0] == metrics[1]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in (LINEAR, VECTORIZER))
    model = package_linear(first, run=None, project="shop", profile=None, out=tmp_path / "model")
    assert (model.architecture, model.formats, model.context_length) == ("linear", ("onnx",), 0)
    assert [file.path for file in model.files] == [LINEAR, VECTORIZER]
    assert model.parameters == metrics[0]["parameters"]


def test_recipes_of_other_methods_stay_as_they_were() -> None:
    assert "linear" not in recipe_of(TrainConfig(), Head())
    own = recipe_of(TrainConfig(method="linear", steps=7), Head(system="Be short."))
    assert set(own) == {"method", "seed", "linear"}, "nothing of a language model decides its weights"
    changed = TrainConfig(linear=LinearConfig(words=1))
    assert recipe_of(changed, Head()) == recipe_of(TrainConfig(), Head())


def test_rows_that_cannot_be_learned_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="have 1 label, and"):
        fit(tmp_path, [make_row("lost card", "card lost", line) for line in range(5)], [])
    with pytest.raises(InputError, match="no n-grams"):
        fit(tmp_path, [make_row("?", "billing", 1), make_row("!", "refund", 2)], [])


def test_texts_without_words_are_learned_by_their_characters(tmp_path: Path) -> None:
    fit(tmp_path, [make_row("👍", "billing", 1), make_row("🙁", "refund", 2)], [], LinearConfig(characters=3))
    scorer = LabelScorer(tmp_path / "out")
    assert [scorer.label("👍"), scorer.label("🙁 🙁")] == ["billing", "refund"]


def test_rare_ngrams_are_left_out(tmp_path: Path) -> None:
    whole = fit(tmp_path, rows(60, seed=1), [])
    assert fit(tmp_path, rows(60, seed=1), [], LinearConfig(min_rows=3))["features"] < whole["features"]
    assert fit(tmp_path, rows(60, seed=1), [], LinearConfig(features=7))["features"] == 7
    assert LabelScorer(tmp_path / "out").label("my invoice") in LABELS


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"train": {"method": "linear"}}, "release.engine.kind: onnx"),
        ({"release": {"engine": {"kind": "onnx"}}}, "train.method: linear"),
        ({"task": "chat", "train": {"method": "linear"}, "release": {"engine": {"kind": "onnx"}}}, "classification"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_with_the_cure(changed: dict[str, Any], word: str) -> None:
    document = {"version": 1, "project": "shop", "data": {"sources": [{"path": "rows.jsonl"}]}}
    with pytest.raises(ConfigError) as refused:
        parse_settings(document | changed)
    assert word in f"{refused.value.message} {refused.value.cure}"


def test_without_validation_rows_the_middle_strength_is_taken(tmp_path: Path) -> None:
    metrics = fit(tmp_path, rows(60, seed=1), [], LinearConfig(strengths=(9.0, 1.0, 3.0)))
    assert metrics["strength"] == 3.0 and "validation_exact_match" not in metrics


def test_of_a_conversation_the_users_last_text_is_learned() -> None:
    turns = json.dumps([{"role": "user", "content": "first"}, {"role": "assistant", "content": "yes"}])
    assert asked_text(replace(make_row("first yes", "refund"), turns=turns)) == "first"
    assert asked_text(make_row("alone", "refund")) == "alone"


def test_a_broken_graph_is_named(tmp_path: Path) -> None:
    fit(tmp_path, rows(60, seed=1), [])
    (tmp_path / "out" / LINEAR).write_bytes(b"no graph")
    with pytest.raises(CorruptionError, match=r"linear\.onnx cannot be loaded"):
        LabelScorer(tmp_path / "out")


@pytest.mark.parametrize(("features", "labels"), [(0, 4), (0, 3), (2, 4)])
def test_a_graph_of_another_vocabulary_is_named(tmp_path: Path, features: int, labels: int) -> None:
    metrics = fit(tmp_path, rows(60, seed=1), [])
    shape = (int(metrics["features"]) - features, labels)
    (tmp_path / "out" / LINEAR).write_bytes(linear_graph(numpy.ones(shape), numpy.ones(labels)))
    if (features, labels) == (0, 4):
        assert LabelScorer(tmp_path / "out")("my card") == [0.25] * 4
    else:
        with pytest.raises(CorruptionError, match=r"linear\.onnx cannot be loaded"):
            LabelScorer(tmp_path / "out")


@pytest.mark.long
@pytest.mark.realdata
@pytest.mark.skipif(not (DATA / "banking77").is_dir(), reason="FLYBALL_DATA does not lead to banking77")
def test_banking77_as_scikit_learn_labels_it(tmp_path: Path) -> None:
    lines = gzip.decompress((DATA / "banking77" / "train.jsonl.gz").read_bytes()).splitlines()
    given = [make_row(row["text"], row["category"], line) for line, row in enumerate(map(json.loads, lines))]
    asked = [json.loads(line) for line in (DATA / "banking77" / "test.jsonl").read_bytes().splitlines()]
    held_out, kept = given[::20], [row for line, row in enumerate(given) if line % 20]
    metrics = fit(tmp_path, kept, held_out, LinearConfig(strengths=(20.0, 100.0)))
    scorer = LabelScorer(tmp_path / "out")
    texts = [row["text"] for row in asked]
    found = [scorer.label(text) for text in texts]
    assert found == expected_labels(kept, texts, metrics["strength"])
    right = sum(label == row["category"] for label, row in zip(found, asked, strict=True)) / len(asked)
    print(f"Banking77, held out: {right:.4f}, {metrics}")
    assert right >= 0.88
