"""A linear classifier over hashed n-grams learned from rows, the same one each time.

Logistic regression by L-BFGS (scikit-learn) over inverse document frequencies; in each file both classes weigh the
same, so that a file's style does not stand for its label. The strength of regularisation and the threshold are those
with the best macro F1 on rows held out for that, of the weights as they are stored. One thread: sums keep their order.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flyball.errors import EnvironmentMissing
from flyball.inference.classifiers.hashed_ngrams import buckets_of
from flyball.inference.classifiers.header import HashedNgrams, Header, HeldOut
from flyball.inference.classifiers.linear import LinearScorer, logistic
from flyball.statistics.classification import macro_f1, macro_f1_replicates, method, percentile_interval
from flyball.training.classifier_rows import Row, Rows

BITS: Final = 18
STRENGTHS: Final = (0.1, 0.3, 1.0, 3.0, 10.0)
"""C of the logistic regression; a larger one fits the rows more closely."""
MOST_STEPS: Final = 300
LARGEST: Final = 127
LEVEL: Final = 0.95
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """Weights as they are stored, and what is to be said of them."""

    weights: array[int]
    features: HashedNgrams
    strength: float
    threshold: float
    chosen_f1: float


def learned(rows: Rows, say: Say) -> Trained:
    """The classifier of the best strength on the rows held out for choosing."""
    try:
        from sklearn.linear_model import LogisticRegression  # heavy and optional
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise EnvironmentMissing(f"{error.name} is not installed", cure='pip install "flyball[train]"') from error
    import numpy

    train, choose = rows.on("train"), rows.on("choose")
    matrix, to_choose = counted(train), counted(choose)
    document_frequency = numpy.bincount(matrix.indices, minlength=1 << BITS)
    rarity = numpy.log((1 + len(train)) / (1 + document_frequency)) + 1.0
    truth, importance = [row.positive for row in train], importances(train)
    best: Trained | None = None
    with threadpool_limits(1):
        weighed = matrix.multiply(rarity[None, :]).tocsr()
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=MOST_STEPS).fit(weighed, truth, sample_weight=importance)
            one = stored(rarity * model.coef_[0], float(model.intercept_[0]), strength, to_choose, choose)
            say(f"C = {strength:g}: macro F1 {one.chosen_f1:.4f} on {len(choose):,} rows for choosing")
            best = one if best is None or one.chosen_f1 > best.chosen_f1 else best
    assert best is not None
    return best


def counted(rows: Sequence[Row]) -> Any:
    """A row for each text: 1/√n in each of its n buckets."""
    import numpy
    from scipy.sparse import csr_matrix  # comes with scikit-learn

    found = [sorted(buckets_of(row.text, BITS)) for row in rows]
    sizes = numpy.array([len(one) for one in found])
    starts = numpy.concatenate([[0], numpy.cumsum(sizes)])
    values = numpy.repeat(1.0 / numpy.sqrt(numpy.maximum(sizes, 1)), sizes)
    buckets = numpy.array([bucket for one in found for bucket in one], dtype=numpy.int32)
    return csr_matrix((values, buckets, starts), shape=(len(rows), 1 << BITS))


def importances(rows: Sequence[Row]) -> list[float]:
    """A weight for each row: in each file both classes have half of its rows' weight."""
    counts = Counter((row.source, row.positive) for row in rows)
    files = Counter(row.source for row in rows)
    return [
        files[row.source] / 2 / counts[row.source, row.positive] if counts[row.source, not row.positive] else 1.0
        for row in rows
    ]


def stored(weights: Any, intercept: float, strength: float, matrix: Any, rows: Sequence[Row]) -> Trained:
    """The weights as bytes, with the threshold that is best on `rows`."""
    import numpy

    scale = float(f"{float(numpy.abs(weights).max()) / LARGEST or 1.0:.6g}")
    numbers = numpy.clip(numpy.rint(weights / scale), -LARGEST, LARGEST).astype(numpy.int8)
    features = HashedNgrams(bits=BITS, scale=scale, intercept=round(intercept, 6))
    z = matrix @ (numbers * scale) + features.intercept
    probabilities = [logistic(float(value)) for value in z]
    threshold, f1 = best_threshold(probabilities, [row.positive for row in rows])
    return Trained(
        weights=array("b", numbers.tobytes()), features=features, strength=strength, threshold=threshold, chosen_f1=f1
    )


def best_threshold(probabilities: Sequence[float], truth: Sequence[bool]) -> tuple[float, float]:
    """The hundredth with the best macro F1, the nearest to a half among equals; and that macro F1."""
    found = []
    for hundredth in range(1, 100):
        said = [probability >= hundredth / 100 for probability in probabilities]
        f1 = macro_f1(Counter((str(one), str(other)) for one, other in zip(truth, said, strict=True)))
        found.append((f1, -abs(hundredth - 50), hundredth / 100))
    f1, _, threshold = max(found)
    return threshold, f1


def header_of(trained: Trained, rows: Rows, *, positive: str, weights_sha256: str) -> Header:
    """All that is to be said of a classifier; its figures on held-out rows come from the scorer that will be used."""
    held_out = rows.on("held_out")
    probabilities = LinearScorer(trained.features, trained.weights)([row.text for row in held_out])
    said = [probability >= trained.threshold for probability in probabilities]
    return Header(
        kind="linear",
        positive=positive,
        negative=rows.negative,
        features=trained.features,
        threshold=trained.threshold,
        held_out=figures([row.positive for row in held_out], said),
        trained_on=len(rows.on("train")),
        chosen_on=len(rows.on("choose")),
        settings={"C": trained.strength},
        left_out=rows.left_out,
        data=rows.sources,
        weights_sha256=weights_sha256,
    )


def figures(truth: Sequence[bool], said: Sequence[bool]) -> HeldOut:
    """Counts at the threshold, and macro F1 with its interval."""
    counts = Counter(zip(truth, said, strict=True))
    pairs = [(str(one), str(other)) for one, other in zip(truth, said, strict=True)]
    lower, upper = percentile_interval(macro_f1_replicates(pairs), LEVEL)
    return HeldOut(
        true_positives=counts[True, True],
        false_negatives=counts[True, False],
        false_positives=counts[False, True],
        true_negatives=counts[False, False],
        macro_f1=round(macro_f1(Counter(pairs)), 4),
        macro_f1_lower=round(lower, 4),
        macro_f1_upper=round(upper, 4),
        level=LEVEL,
        interval=method(len(pairs)),
    )
