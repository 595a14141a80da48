"""Group fairness equals AIF360's and Fairlearn's values, and says nothing where nothing can be said."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest

from fairness_samples import Case, by_aif360, by_fairlearn, consistency_by_aif360, sample
from flyball.errors import InputError
from flyball.statistics.fairness import GAPS, PAIRS, Confusion, counted, difference, generalised, rate, spread
from flyball.statistics.inequality import (
    between_group_coefficient_of_variation,
    between_group_generalized_entropy_index,
    between_group_theil_index,
    coefficient_of_variation,
    consistency,
    differential_fairness_bias_amplification,
    generalized_entropy_index,
    smoothed_empirical_differential_fairness,
    theil_index,
)
from flyball.statistics.row_weights import reweighing, weights_of

STORED = json.loads(Path(__file__).parent.parent.joinpath("support", "fairness_values.json").read_text())
"""By AIF360 0.6.1 and Fairlearn 0.15.0 (tests/support/fairness_samples.py says how)."""


def groups_of(cases: list[Case], *names: str) -> dict[tuple[int, ...], Confusion]:
    members: dict[tuple[int, ...], list[Case]] = {}
    for case in cases:
        members.setdefault(tuple(getattr(case, name) for name in names), []).append(case)
    return {key: counted((bool(c.truth), bool(c.answer)) for c in some) for key, some in sorted(members.items())}


def ours(cases: list[Case]) -> dict[str, float]:
    """What this package gives under AIF360's names."""
    (unprivileged, privileged), all_groups = groups_of(cases, "sex").values(), groups_of(cases, "sex", "age")
    sides = [unprivileged, privileged]
    found = {name: metric(unprivileged, privileged) for name, metric in PAIRS.items()}
    found |= {
        "generalized_entropy_index": generalized_entropy_index(sides),
        "generalized_entropy_index_3": generalized_entropy_index(sides, 3),
        "theil_index": theil_index(sides),
        "coefficient_of_variation": coefficient_of_variation(sides),
        "between_group_generalized_entropy_index": between_group_generalized_entropy_index(sides),
        "between_group_theil_index": between_group_theil_index(sides),
        "between_group_coefficient_of_variation": between_group_coefficient_of_variation(sides),
    }
    everybody = list(all_groups.values())
    for alpha in (1, 2):
        between = between_group_generalized_entropy_index(everybody, alpha)
        found[f"between_all_groups_generalized_entropy_index_{alpha}"] = between
    found["differential_fairness_bias_amplification"] = differential_fairness_bias_amplification(everybody)
    truths = [group.truth for group in everybody]
    found["data_smoothed_empirical_differential_fairness"] = smoothed_empirical_differential_fairness(truths)
    for name in ("statistical_parity_difference", "disparate_impact"):
        found[f"data_{name}"] = PAIRS[name](unprivileged.truth, privileged.truth)
    soft = [generalised((bool(c.truth), c.probability) for c in cases if c.sex == sex) for sex in (0, 1)]
    found["generalized_equalized_odds_difference"] = PAIRS["equalized_odds_difference"](*soft)
    weights = reweighing([c.sex for c in cases], [c.truth for c in cases])
    for key, pair in {"p_fav": (1, 1), "p_unfav": (1, 0), "up_fav": (0, 1), "up_unfav": (0, 0)}.items():
        found[f"reweighing_w_{key}"] = weights[pair]
    return found


def ours_by_age(cases: list[Case]) -> dict[str, float]:
    """What this package gives under Fairlearn's names."""
    ages = list(groups_of(cases, "age").values())
    return {
        "demographic_parity_difference": GAPS["statistical_parity_difference"](ages),
        "demographic_parity_ratio": GAPS["disparate_impact"](ages),
        "equalized_odds_difference": GAPS["equalized_odds_difference"](ages),
        "equal_opportunity_difference": GAPS["equal_opportunity_difference"](ages),
    }


@pytest.mark.parametrize("seed", sorted(STORED))
def test_every_metric_equals_what_aif360_and_fairlearn_gave(seed: str) -> None:
    cases = sample(int(seed))
    assert ours(cases) == pytest.approx(STORED[seed]["aif360"], abs=1e-9)
    assert ours_by_age(cases) == pytest.approx(STORED[seed]["fairlearn"], abs=1e-9)


@pytest.mark.long
def test_every_metric_equals_what_aif360_and_fairlearn_give_now() -> None:
    """They bring scikit-learn, pandas and matplotlib (490 MB), so they are in no extra."""
    pytest.importorskip("aif360")
    pytest.importorskip("fairlearn")
    for seed in range(10, 20):
        cases = sample(seed)
        assert ours(cases) == pytest.approx(by_aif360(cases), abs=1e-9)
        assert ours_by_age(cases) == pytest.approx(by_fairlearn(cases), abs=1e-9)
        value, near = consistency_by_aif360(cases)
        assert consistency([c.truth for c in cases], near) == pytest.approx(value, abs=1e-9)


def test_the_truth_alone_is_measured_as_a_data_set() -> None:
    assert Confusion(tp=3, fp=2, fn=1, tn=4).truth == Confusion(tp=4, tn=6)
    assert rate("selection_rate", Confusion(tp=3, fp=2, fn=1, tn=4).truth) == 0.4


def test_a_share_of_nothing_is_no_number_and_never_zero() -> None:
    empty, full = Confusion(), Confusion(tp=5, fn=5)
    assert math.isnan(rate("selection_rate", empty)) and math.isnan(rate("false_positive_rate", full))
    assert math.isnan(difference("error_rate", empty, full))
    assert math.isnan(GAPS["false_positive_rate_difference"]([full, full]))
    assert PAIRS["disparate_impact"](full, Confusion(tn=5)) == math.inf


def test_equal_groups_have_no_gap_even_where_nobody_is_favoured() -> None:
    for groups in ([Confusion(3, 1, 2, 4)] * 3, [Confusion(tn=9, fn=1)] * 2):
        assert GAPS["statistical_parity_difference"](groups) == 0.0
        assert GAPS["disparate_impact"](groups) == 1.0
    assert between_group_theil_index([Confusion(3, 1, 2, 4)] * 3) == pytest.approx(0.0, abs=1e-12)


def test_arrays_give_what_numbers_give() -> None:
    numpy = pytest.importorskip("numpy")
    tables = [list(groups_of(sample(seed), "age").values()) for seed in (1, 2, 3)]
    stacked = [
        Confusion(*(numpy.array([getattr(table[at], cell) for table in tables], dtype=float) for cell in CELLS))
        for at in range(3)
    ]
    several = {
        **GAPS,
        "theil": theil_index,
        "entropy": generalized_entropy_index,
        "between": between_group_theil_index,
        "variation": between_group_coefficient_of_variation,
        "edf": smoothed_empirical_differential_fairness,
        "amplification": differential_fairness_bias_amplification,
        "gap": partial(spread, partial(rate, "accuracy")),
    }
    for name, metric in several.items():
        assert list(metric(stacked)) == pytest.approx([metric(table) for table in tables], abs=1e-12), name


CELLS = ("tp", "fp", "fn", "tn")


def test_weights_of_rows_keep_the_sums_of_groups_and_labels() -> None:
    cases = sample(4)
    groups, labels = [(c.sex, c.age) for c in cases], [c.truth for c in cases]
    weights = weights_of(groups, labels)
    assert math.fsum(weights) == pytest.approx(len(cases))
    for group in set(groups):
        mine = [(w, y) for w, g, y in zip(weights, groups, labels, strict=True) if g == group]
        share = math.fsum(w for w, y in mine if y) / math.fsum(w for w, _ in mine)
        assert share == pytest.approx(sum(labels) / len(labels))


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="alpha 0"):
        generalized_entropy_index([Confusion(1, 1, 1, 1)], 0)
    with pytest.raises(InputError, match="concentration"):
        smoothed_empirical_differential_fairness([Confusion(1, 1, 1, 1)] * 2, 0)
    with pytest.raises(InputError, match="neighbours"):
        consistency([], [])
    with pytest.raises(InputError, match="2 groups, 1 labels"):
        reweighing(["a", "b"], ["x"])
