"""Objectives are named in one table, and a recipe from before them keeps its name."""

from __future__ import annotations

from typing import get_args, get_type_hints

from flyball.records import fingerprint_of
from flyball.training.config import TrainConfig
from flyball.training.conversations import Head
from flyball.training.objectives.catalog import OBJECTIVES
from flyball.training.training_run import recipe_of

NAMED = {
    "scratch": "038464e623f56357",
    "finetune": "901b612ff917fe32",
    "lora": "64e55fb47e94b070",
    "linear": "d0602ed54a02c4b1",
    "command": "fe62908b3b147186",
}
"""Names of recipes with nothing but a method, as they were before there were objectives."""


def test_flyball_yaml_takes_the_objectives_of_the_catalog():
    assert set(OBJECTIVES) == set(get_args(get_type_hints(TrainConfig)["objective"]))
    assert all(name == kind.name for name, kind in OBJECTIVES.items())


def test_every_objective_has_a_learning_rate_for_each_method_that_makes_steps():
    for kind in OBJECTIVES.values():
        assert {"finetune", "lora"} <= set(kind.rates) <= {"scratch", "finetune", "lora"}


def test_recipes_from_before_objectives_keep_their_names():
    named = {
        method: fingerprint_of(recipe_of(TrainConfig(method=method, base="b"), Head()))[:16]  # type: ignore[arg-type]
        for method in ("scratch", "finetune", "lora", "linear", "command")
    }
    assert named == NAMED
