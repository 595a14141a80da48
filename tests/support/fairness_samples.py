"""Generated cases with two attributes, and what AIF360 and Fairlearn say of them (values stored beside)."""

from __future__ import annotations

import random
from dataclasses import dataclass

AIF360, FAIRLEARN = "0.6.1", "0.15.0"


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its sex (1 privileged) and its age (0 to 2), the truth, the answer and its probability."""

    sex: int
    age: int
    truth: int
    answer: int
    probability: float


def sample(seed: int, n: int = 600) -> list[Case]:
    """Cases whose truth and answers depend on both attributes."""
    dice = random.Random(seed)
    cases = []
    for _ in range(n):
        sex, age = int(dice.random() < 0.6), dice.randrange(3)
        truth = int(dice.random() < 0.35 + 0.15 * sex + 0.05 * age)
        probability = min(0.99, max(0.01, 0.3 + 0.3 * truth + 0.1 * sex - 0.05 * age + dice.uniform(-0.3, 0.3)))
        cases.append(Case(sex, age, truth, int(probability > 0.5), probability))
    return cases


def by_aif360(cases: list[Case]) -> dict[str, float]:
    """Every metric under its own name; `data_` before those of the true labels alone."""
    import pandas
    from aif360.algorithms.preprocessing import Reweighing
    from aif360.datasets import BinaryLabelDataset
    from aif360.metrics import BinaryLabelDatasetMetric, ClassificationMetric

    frame = pandas.DataFrame([(c.sex, c.age, float(k % 7), c.truth) for k, c in enumerate(cases)])
    frame.columns = ["sex", "age", "other", "truth"]
    truth = BinaryLabelDataset(df=frame, label_names=["truth"], protected_attribute_names=["sex", "age"])
    answers = truth.copy(deepcopy=True)
    answers.labels = pandas.DataFrame([c.answer for c in cases]).to_numpy(dtype=float)
    answers.scores = pandas.DataFrame([c.probability for c in cases]).to_numpy(dtype=float)
    sides = {"unprivileged_groups": [{"sex": 0}], "privileged_groups": [{"sex": 1}]}
    of_answers = ClassificationMetric(truth, answers, **sides)
    of_data = BinaryLabelDatasetMetric(truth, **sides)
    from flyball.statistics.fairness import PAIRS

    found = {name: float(getattr(of_answers, name)()) for name in PAIRS}
    for name in (
        *("generalized_entropy_index", "theil_index", "coefficient_of_variation"),
        *("between_group_generalized_entropy_index", "between_group_theil_index"),
        *("between_group_coefficient_of_variation", "differential_fairness_bias_amplification"),
        "generalized_equalized_odds_difference",
    ):
        found[name] = float(getattr(of_answers, name)())
    found["generalized_entropy_index_3"] = float(of_answers.generalized_entropy_index(alpha=3))
    combined = [[{"sex": sex, "age": age}] for sex in (0, 1) for age in (0, 1, 2)]
    for alpha in (1, 2):
        between = of_answers._between_group_generalized_entropy_index(combined, alpha=alpha)
        found[f"between_all_groups_generalized_entropy_index_{alpha}"] = float(between)
    for name in ("statistical_parity_difference", "disparate_impact", "smoothed_empirical_differential_fairness"):
        found[f"data_{name}"] = float(getattr(of_data, name)())
    weighed = Reweighing(**sides).fit(truth)
    for name in ("w_p_fav", "w_p_unfav", "w_up_fav", "w_up_unfav"):
        found[f"reweighing_{name}"] = float(getattr(weighed, name))
    return found


def consistency_by_aif360(cases: list[Case]) -> tuple[float, list[list[int]]]:
    """Consistency, and the neighbours that it took."""
    import pandas
    from aif360.datasets import BinaryLabelDataset
    from aif360.metrics import BinaryLabelDatasetMetric
    from sklearn.neighbors import NearestNeighbors

    frame = pandas.DataFrame([(c.sex, c.age, c.probability, c.truth) for c in cases])
    frame.columns = ["sex", "age", "other", "truth"]
    truth = BinaryLabelDataset(df=frame, label_names=["truth"], protected_attribute_names=["sex", "age"])
    near = NearestNeighbors(n_neighbors=5, algorithm="ball_tree").fit(truth.features).kneighbors(truth.features)[1]
    return float(BinaryLabelDatasetMetric(truth).consistency()[0]), near.tolist()


def by_fairlearn(cases: list[Case]) -> dict[str, float]:
    """Fairlearn's metrics over the three ages."""
    from fairlearn import metrics

    truth, answer, age = [c.truth for c in cases], [c.answer for c in cases], [c.age for c in cases]
    return {
        name: float(getattr(metrics, name)(truth, answer, sensitive_features=age))
        for name in (
            *("demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference"),
            "equal_opportunity_difference",
        )
    }
