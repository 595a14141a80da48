"""Whatever the shape of the rows, the first flyball.yaml is one whose gate can pass and can fail."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import yaml

from flyball.errors import InputError
from flyball.settings import parse_settings
from flyball.statistics.intervals import clopper_pearson_lower
from flyball.workflows.build_lock import holder_of, only_one
from flyball.workflows.init import init, shape_of
from flyball.workflows.init_settings import ALPHA, ProjectShape, Rows, Shape, answered_floor, settings_text

FILE = ProjectShape(source="models/a b.gguf", is_url=False, context=8192)
SERVER = ProjectShape(source="https://models.example/v1", is_url=True, model_name="m: 1", api_key="env:KEY")
MEASURED: dict[Shape, set[str]] = {
    "labels": {"exact_match"},
    "objects": {"exact_fields"},
    "answers": {"answered", "chrf"},
    "questions": {"answered"},
}
"""What evaluation measures of each shape (tests/evaluation/test_free_answers.py)."""


def rows(shape: Shape) -> Rows:
    return Rows(
        path="rows.jsonl",
        shape=shape,
        fields={"text": ("text", "")},
        comments=["seen"],
        labels={"spam: yes": 30, "ham": 70} if shape == "labels" else {},
        count=100,
    )


@pytest.mark.parametrize(("shape", "model"), list(product(MEASURED, (None, FILE, SERVER))))
def test_the_gate_of_every_shape_has_rules_on_what_is_measured(shape: Shape, model: ProjectShape | None) -> None:
    settings = parse_settings(yaml.safe_load(settings_text("My Desk!", rows(shape), model)))
    assert settings.project == "my-desk" and settings.task == ("classification" if shape == "labels" else "chat")
    assert {rule.measure for rule in settings.gate.rules} == MEASURED[shape]
    floors = [rule.at_least for rule in settings.gate.rules if rule.at_least is not None]
    assert floors and all(0 < floor < 1 for floor in floors), "no gate that everything passes"
    assert any(rule.not_worse_than_live is not None for rule in settings.gate.rules)


def test_around_a_model_nothing_is_trained_and_all_rows_are_cases() -> None:
    file = parse_settings(yaml.safe_load(settings_text("desk", rows("answers"), FILE)))
    assert (file.train.method, file.train.base) == ("none", "models/a b.gguf")
    assert (file.data.split.test, file.release.engine.context) == (1.0, 4096)
    server = parse_settings(yaml.safe_load(settings_text("desk", rows("answers"), SERVER))).release.engine
    assert (server.kind, server.url, server.model, server.api_key) == ("openai", SERVER.source, "m: 1", "env:KEY")
    labels = parse_settings(yaml.safe_load(settings_text("desk", rows("labels"), FILE)))
    assert "spam: yes" in (labels.release.system_prompt or "")
    assert labels.gate.rules[0].at_least == 0.7, "the commonest label alone must not pass"


@pytest.mark.parametrize(("ham", "spam", "floor"), [(870, 130, 0.87), (500, 500, 0.6), (36, 4, 0.6), (9990, 10, 0.99)])
def test_a_model_that_always_gives_the_commonest_label_passes_no_first_gate(ham: int, spam: int, floor: float) -> None:
    count = ham + spam
    made = replace(rows("labels"), labels={"ham": ham, "spam": spam}, count=count)
    gate = parse_settings(yaml.safe_load(settings_text("desk", made, None))).gate
    assert gate.rules[0].at_least == floor
    assert clopper_pearson_lower(round(0.15 * count), round(0.15 * count), ALPHA) >= floor, "it can be proven"


@pytest.mark.parametrize("count", [7, 20, 29, 40, 80, 5000])
def test_what_must_be_answered_can_be_proven_by_so_few_rows(count: int) -> None:
    cases = max(1, min(count, 50) * 3 // 4)
    assert clopper_pearson_lower(cases, cases, ALPHA) >= answered_floor(count) > 0.2


def test_shapes_are_told_by_what_the_answers_are() -> None:
    assert shape_of("classification", ["a", "b"]) == "labels"
    assert shape_of("chat", []) == "questions"
    assert shape_of("classification", ['{"a": 1}', '{"a": 2}']) == "objects"
    assert shape_of("chat", ['{"a": 1}', {"a": 2}, "none"]) == "objects"
    assert shape_of("chat", ["it is late", '{"a": 1}', "well"]) == "answers"


def test_a_folder_of_files_of_rows_is_refused_with_the_command_for_one(tmp_path: Path) -> None:
    for name in ("test", "train", "val"):
        (tmp_path / f"{name}.jsonl.gz").write_bytes(b"")
    (tmp_path / "README.md").write_text("three files")
    with pytest.raises(InputError, match=r"holds test\.jsonl\.gz, train\.jsonl\.gz, val\.jsonl\.gz") as caught:
        init(Path("shop"), here=False, source=tmp_path)
    assert caught.value.cure == f"flyball init --from {tmp_path / 'train.jsonl.gz'} shop"


def test_the_floor_of_many_labels_is_explained() -> None:
    rows = Rows(path="a.jsonl", shape="labels", fields={}, labels={"a": 30, "b": 30, "c": 40}, count=100)
    assert "at_least: 0.6}   # the share of right answers" in settings_text("shop", rows, None)


def test_a_build_that_runs_is_seen_and_one_that_ended_is_not(tmp_path: Path) -> None:
    lock = tmp_path / "build.lock"
    assert holder_of(lock) is None
    with only_one(lock, what="a build", wait=False, say=print):
        assert holder_of(lock) == os.getpid()
    assert holder_of(lock) is None
