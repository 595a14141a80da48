"""What a search may try: fields and ranges are checked before anything is trained, and one recipe has one name."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flyball.errors import ConfigError
from flyball.settings import parse_settings, with_kind
from flyball.workflows.search_space import (
    fitted,
    measured_by,
    recipe_name,
    recipe_settings,
    space_of,
    with_values,
)

BASE: dict[str, Any] = {
    "version": 1,
    "project": "shop",
    "data": {"sources": [{"path": "rows.jsonl"}]},
    "train": {"method": "scratch", "learning_rate": 0.002},
    "release": {"engine": {"slots": 2}},
}


def searching(fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**with_kind(BASE), "search": {"fields": fields, **more}}


def space(fields: dict[str, Any]) -> Any:
    document = searching(fields)
    return space_of(parse_settings(document), document)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "nothing to search"),
        ({"train.learning_rat": {"low": 1, "high": 2}}, "unknown key train.learning_rat$"),
        ({"train.learning_rate": {"low": 0.1, "high": 0.01}}, "low 0.1, above high 0.01"),
        ({"train.learning_rate": {"low": 0.1, "high": 0.1}}, "one value"),
        ({"train.learning_rate": {"low": 0, "high": 1, "log": True}}, "low 0 and log"),
        ({"train.learning_rate": {"low": -1, "high": 1}}, "train.learning_rate is -1"),
        ({"train.learning_rate": {"low": 0.1, "high": 1, "step": 2}}, "step 2"),
        ({"train.learning_rate": {"low": 0.1, "high": float("inf")}}, "finite|inf"),
        ({"train.learning_rate": []}, "no values"),
        ({"train.learning_rate": ["much"]}, "much"),
        ({"train.steps": {"low": 10.5, "high": 20}}, "train.steps is 10.5"),
        ({"train.method": ["scratch", "magic"]}, "magic"),
        ({"train.method": {"low": 1, "high": 2}}, "is a range"),
        ({"train.lora.rank": [4, 8]}, "changes nothing with train.method scratch"),
        ({"train.threads": [1, 2]}, "no field of a recipe"),
        ({"gate.alpha": [0.05]}, "no field of a recipe"),
    ],
)
def test_what_cannot_be_searched_is_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space(fields)
    assert re.search(said, caught.value.message, re.DOTALL), caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"measure": "chrf"}, "does not measure"),
        ({"measure": "brier"}, "less is better"),
        ({"suite": "test"}, "the gate decides on"),
        ({"suite": "invariance"}, "the gate decides on"),
        ({"suite": "nothing:file"}, "nothing"),
    ],
)
def test_a_measure_that_no_suite_has_and_a_suite_of_the_gate_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        measured_by(parse_settings(searching({}, **more)))


def test_a_wrong_key_of_a_range_is_told_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(searching({"train.steps": {"low": 1, "hi": 3}}))
    assert "hi" in caught.value.message and "high" in caught.value.cure


def test_trials_are_ranked_by_validation_rows_which_no_gate_may_use() -> None:
    assert measured_by(parse_settings(searching({}))) == ("validation", "exact_match")
    with pytest.raises(ConfigError, match="validation, whose rows choose recipes"):
        parse_settings({**BASE, "evaluate": {"suites": ["test", "validation"]}})


def test_a_recipe_is_drawn_from_the_fields_that_its_method_reads() -> None:
    library = pytest.importorskip("optuna", reason="Optuna is in the extra `search`")
    made = space(
        {
            "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "train.steps": {"low": 100, "high": 300, "step": 100},
            "train.method": ["scratch", "linear"],
            "train.linear.characters": [0, 5],
            "train.size.hidden": {"low": 64, "high": 256, "step": 64},
        }
    )
    seen = []
    study = library.create_study(sampler=library.samplers.RandomSampler(seed=3))
    for _ in range(20):
        trial = study.ask()
        seen.append(made.drawn(trial))
        study.tell(trial, 0.0)
    linear = [values for values in seen if values["train.method"] == "linear"]
    scratch = [values for values in seen if values["train.method"] == "scratch"]
    assert linear and scratch
    assert all(values.keys() == {"train.method", "train.linear.characters"} for values in linear)
    assert all("train.linear.characters" not in values for values in scratch)
    assert {values["train.steps"] for values in scratch} <= {100, 200, 300}
    assert all(1e-4 <= values["train.learning_rate"] <= 1e-2 for values in scratch)
    for values in seen:
        assert recipe_settings(with_kind(BASE), values).train.method == values["train.method"]


def test_a_method_that_another_engine_serves_brings_that_engine() -> None:
    document = with_kind(BASE)
    assert fitted(document, {"train.method": "linear"})["release.engine"] == {"kind": "onnx"}
    linear = with_values(document, fitted(document, {"train.method": "linear"}))
    assert fitted(linear, {"train.method": "scratch"})["release.engine"] == {"kind": "llama.cpp"}
    assert fitted(document, {"train.steps": 5}) == {"train.steps": 5}


def test_two_recipes_that_differ_in_nothing_that_counts_have_one_name() -> None:
    def name(values: dict[str, Any]) -> str:
        settings = recipe_settings(with_kind(BASE), values)
        return recipe_name(settings, dataset="rows", measured=("validation", "exact_match"))

    assert name({}) == name({"train.lora.rank": 4}) == name({"train.learning_rate": 0.002})
    assert name({}) == name({"train.threads": 2})
    assert len({name({}), name({"train.steps": 9}), name({"package.quantization": "f16"})}) == 3
    assert name({"train.method": "linear"}) == name({"train.method": "linear", "train.steps": 9})


def test_the_recipe_of_the_file_is_known_as_one_of_those_that_are_tried() -> None:
    document = searching({"train.learning_rate": {"low": 1e-4, "high": 1e-2}})
    made = space_of(parse_settings(document), document)
    assert made.current(document) == {"train.learning_rate": 0.002}
    assert made.current(with_values(document, {"train.learning_rate": 0.1})) is None
    assert made.current(with_values(document, {"train.learning_rate": None})) is None
