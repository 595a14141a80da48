"""Cohen's kappa equals its definition and published figures, with intervals that know of clusters."""

from __future__ import annotations

import pytest

from flyball.statistics.agreement import Rated, cohens_kappa


def rated(counts: dict[tuple[str, str], int], *, each: int = 1) -> list[Rated]:
    """So many cases of each kind, `each` of them in one cluster."""
    cases = [cell for cell, count in counts.items() for _ in range(count)]
    return [Rated(first, second, at // each) for at, (first, second) in enumerate(cases)]


def test_kappa_is_that_of_a_textbook() -> None:
    # 50 applications read by two people: agreement .7, by chance .5
    counts = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    found = cohens_kappa(rated(counts), 0.95)
    assert found.value == pytest.approx(0.4)
    assert 0.1 < found.lower < 0.2 and 0.6 < found.upper < 0.7  # by its standard error of .127: .15 to .65


def test_kappa_equals_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    counts = {
        ("a", "a"): 9,
        ("a", "b"): 4,
        ("b", "b"): 11,
        ("b", "c"): 2,
        ("c", "c"): 3,
        ("c", "none"): 6,
        ("b", "a"): 1,
    }
    cases = rated(counts)
    expected = metrics.cohen_kappa_score([case.first for case in cases], [case.second for case in cases])
    assert cohens_kappa(cases, 0.95).value == pytest.approx(expected, abs=1e-12)


def test_clusters_widen_the_interval_and_few_of_them_leave_none() -> None:
    counts = {("a", "a"): 200, ("a", "b"): 50, ("b", "a"): 50, ("b", "b"): 100}
    alone, clustered = cohens_kappa(rated(counts), 0.95), cohens_kappa(rated(counts, each=10), 0.95)
    assert clustered.upper - clustered.lower > 2 * (alone.upper - alone.lower)
    few = cohens_kappa(rated(counts, each=40), 0.95)
    assert (few.lower, few.upper) == (-1.0, 1.0) and few.value == alone.value


def test_raters_who_always_say_one_thing_have_no_kappa() -> None:
    assert cohens_kappa(rated({("a", "a"): 30}), 0.95).value is None
