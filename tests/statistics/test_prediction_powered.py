"""PPI++: equal to the ppi-python package's values, and covering what it should, with clusters too."""

from __future__ import annotations

import math
import random

import pytest

from flyball.errors import InputError
from flyball.statistics.prediction_powered import prediction_powered_mean

ORACLE = (
    # labels, others, seed, how far the judge follows people; λ; then ppi-python 0.2.3: mean, lower, upper at 95 %
    ((200, 800, 7, 0.5), None, (0.6433077618849278, 0.5979324398302206, 0.688683083939635)),
    ((200, 800, 7, 0.5), 1.0, (0.6453125, 0.5998281737818281, 0.6907968262181718)),
    ((250, 2000, 11, 0.0), None, (0.652, 0.5929538607331448, 0.7110461392668552)),
    ((250, 2000, 11, 0.0), 1.0, (0.6435, 0.5666949562081778, 0.7203050437918221)),
    ((300, 100, 3, 0.9), None, (0.6375137363083164, 0.5904062637706077, 0.6846212088460252)),
    ((300, 100, 3, 0.9), 1.0, (0.63, 0.5353720944380675, 0.7246279055619325)),
)


def draws(count: int, state: int) -> list[float]:
    """A congruential generator, so that the same numbers come in every version of Python and in the oracle's run."""
    found = []
    for _ in range(count):
        state = (1103515245 * state + 12345) % 2**31
        found.append(state / 2**31)
    return found


def rated_cases(n: int, others: int, seed: int, follows: float) -> tuple[list[float], list[float], list[float]]:
    truth = [float(u < 0.6) for u in draws(n + others, seed)]
    noise = draws(n + others, seed + 1)
    rated = [
        round(0.25 * math.floor(5 * (follows * t + (1 - follows) * v) * 0.99), 2)
        for t, v in zip(truth, noise, strict=True)
    ]
    return truth[:n], rated[:n], rated[n:]


@pytest.mark.parametrize(("case", "power", "expected"), ORACLE)
def test_the_corrected_mean_is_that_of_ppi_python(
    case: tuple[int, int, int, float], power: float | None, expected: tuple[float, float, float]
) -> None:
    found = prediction_powered_mean(*rated_cases(*case), power=power)
    assert (found.value, found.lower, found.upper) == pytest.approx(expected, abs=1e-12)


def simulated(seed: int, *, clusters: int, size: int) -> tuple[bool, float]:
    """Whether the interval covers the truth of .6 with a judge that is too kind, and its width."""
    rng = random.Random(seed)
    cases = []
    for name in range(clusters):
        share = rng.betavariate(0.6 * 4, 0.4 * 4) if size > 1 else 0.6
        for _ in range(size):
            y = float(rng.random() < share)
            cases.append((name, y, y if rng.random() < 0.8 else 1.0))
    rng.shuffle(cases)
    labelled, rest = cases[:250], cases[250:]
    found = prediction_powered_mean(
        [y for _, y, _ in labelled],
        [f for *_, f in labelled],
        [f for *_, f in rest],
        clusters=[name for name, *_ in cases] if size > 1 else None,
    )
    return found.lower <= 0.6 <= found.upper, found.upper - found.lower


@pytest.mark.parametrize(("clusters", "size"), [(1000, 1), (50, 20)])
def test_the_interval_covers_the_truth_as_often_as_it_says(clusters: int, size: int) -> None:
    runs = [simulated(seed, clusters=clusters, size=size) for seed in range(500)]
    assert 0.92 <= sum(covered for covered, _ in runs) / len(runs) <= 0.98  # 3 standard errors about .95
    if size == 1:
        alone = 2 * 1.96 * math.sqrt(0.24 / 250)  # of 250 labels without a judge
        assert sum(width for _, width in runs) / len(runs) < 0.85 * alone


def test_where_all_are_labelled_the_judge_says_nothing() -> None:
    labels, rated, _ = rated_cases(200, 0, 5, 0.5)
    found = prediction_powered_mean(labels, rated, [])
    assert (found.value, found.power) == (pytest.approx(sum(labels) / 200), 0.0)


def test_too_few_labels_are_refused_and_the_missing_ones_counted() -> None:
    labels, rated, rest = rated_cases(199, 500, 5, 0.5)
    with pytest.raises(InputError, match="199 labels are too few to correct a judge: 1 are missing"):
        prediction_powered_mean(labels, rated, rest)
    labels, rated, rest = rated_cases(200, 200, 5, 0.5)
    with pytest.raises(InputError, match="19 clusters are too few"):
        prediction_powered_mean(labels, rated, rest, clusters=[n % 19 for n in range(400)])
    with pytest.raises(InputError, match="not a finite number"):
        prediction_powered_mean(labels, rated, [*rest, math.nan])
