"""A release on one page, from its records alone."""

from __future__ import annotations

import pytest

from flyball.compliance.model_card import model_card
from flyball.errors import NotFoundError
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from lineage_samples import chain


def test_the_card_says_what_it_is_learned_from_scored_and_cannot(ledger: Ledger) -> None:
    line = chain(ledger, "x")
    card = model_card(ledger, line.release)
    for part in (
        line.release,
        "1,330,000 parameters",
        "trained from scratch",
        "| train | 800 |",
        "50 exact_duplicate",
        "| test | exact_match | 0.876 | 0.850 to 0.899 (95%) | 150 |",
        "Verdict: **pass** at α = 0.05",
        "above 0.6 \\| so it passes",
        "one of 2 labels",
        "No groups of users were measured",
    ):
        assert part in card
    assert "erased" not in card
    assert model_card(ledger, line.release[:12]) == card


def test_its_head_is_one_that_hugging_face_reads(ledger: Ledger) -> None:
    from huggingface_hub import ModelCard

    data = ModelCard(model_card(ledger, chain(ledger, "x").release)).data
    assert (data.pipeline_tag, data.library_name) == ("text-classification", "flyball")
    (result,) = data.eval_results or ()
    assert (result.dataset_name, result.metric_type, round(result.metric_value, 3)) == ("test", "exact_match", 0.876)


def test_the_card_of_a_marked_release_says_so(ledger: Ledger) -> None:
    line = chain(ledger, "x")
    with ledger.begin() as connection:
        values = {"project": "shop", "subject": "s", "old": line.model, "effect": "marked", "receipt": "r", "at_ms": 1}
        connection.execute(tables.erasures.insert().values(**values))
    assert "people who have since been erased" in model_card(ledger, line.release)


def test_only_a_release_has_a_card(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError):
        model_card(ledger, chain(ledger, "x").model)
