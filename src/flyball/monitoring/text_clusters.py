"""Clusters of texts by what they are about: spherical k-means over hashed words, in plain Python. Pure.

Features are the buckets of `inference.classifiers.hashed_ngrams`, weighted by inverse document frequency; centres begin
at texts far from each other (Gonzalez 1985, Theoretical Computer Science 38:293) and move to their members' mean
(Dhillon and Modha 2001, Machine Learning 42:143). The same texts give the same clusters on every machine.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flyball.inference.classifiers.hashed_ngrams import buckets_of

BITS = 10
CLUSTERS = 16
ROUNDS = 6
WIDTH = 64
"""So many features of a centre are kept, the strongest."""
STRANGE = 0.05
"""Share of the fitted texts that are less like any centre than the limit: texts below it are in no cluster."""
_LONGEST = 2000
_PER_CLUSTER = 15
_ROUNDED = 0.002
"""What rounding weights and centres may take from a likeness: a text that was fitted stays in its cluster."""

Vector = dict[int, float]


def fit_clusters(texts: Sequence[str]) -> dict[str, Any]:
    """Clusters of texts as JSON types: weights of features, centres, and how like one a text must be."""
    found = [set(buckets_of(text[:_LONGEST], BITS)) for text in texts]
    spread = Counter(bucket for buckets in found for bucket in buckets)
    weights = {bucket: math.log(1.0 + len(texts) / count) - math.log(2.0) for bucket, count in spread.items()}
    if not any(weights.values()):  # every text has the same words, which are all there is to know them by
        weights = dict.fromkeys(weights, 1.0)
    vectors = [_normal({bucket: weights[bucket] for bucket in buckets}) for buckets in found]
    centres = _first_centres(vectors, max(1, min(CLUSTERS, len(texts) // _PER_CLUSTER)))
    for _ in range(ROUNDS):
        members: list[list[Vector]] = [[] for _ in centres]
        for vector in vectors:
            members[_nearest(centres, vector)[0]].append(vector)
        centres = [_mean(own) if own else centre for own, centre in zip(members, centres, strict=True)]
    likeness = sorted(_nearest(centres, vector)[1] for vector in vectors)
    return {
        "weights": [round(weights.get(bucket, 0.0), 3) for bucket in range(1 << BITS)],
        "centres": [[[bucket, round(value, 4)] for bucket, value in sorted(centre.items())] for centre in centres],
        "least": likeness[int(STRANGE * len(likeness))] - _ROUNDED if likeness else 0.0,
    }


def cluster_of(fitted: Mapping[str, Any], text: str) -> int | None:
    """The cluster of a text; None when it is like none of them."""
    weights = fitted["weights"]
    vector = _normal({bucket: weights[bucket] for bucket in buckets_of(text[:_LONGEST], BITS)})
    best, likeness = 0, -1.0
    for number, centre in enumerate(fitted["centres"]):
        found = sum(value * vector.get(bucket, 0.0) for bucket, value in centre)
        if found > likeness:
            best, likeness = number, found
    return best if likeness >= fitted["least"] else None


def _first_centres(vectors: Sequence[Vector], count: int) -> list[Vector]:
    """The text most like the mean of all, then in turn the one that is least like any chosen so far."""
    centres = [vectors[_nearest(vectors, _mean(vectors))[0]]] if vectors else []
    likeness = [_dot(centres[0], vector) for vector in vectors]
    while len(centres) < count:
        centres.append(vectors[min(range(len(vectors)), key=likeness.__getitem__)])
        likeness = [max(old, _dot(centres[-1], vector)) for old, vector in zip(likeness, vectors, strict=True)]
    return centres


def _nearest(centres: Sequence[Vector], vector: Vector) -> tuple[int, float]:
    likeness = [_dot(centre, vector) for centre in centres]
    best = max(range(len(likeness)), key=likeness.__getitem__)
    return best, likeness[best]


def _mean(vectors: Sequence[Vector]) -> Vector:
    total: Counter[int] = Counter()
    for vector in vectors:
        for bucket, value in vector.items():
            total[bucket] += value  # type: ignore[assignment]  # a Counter of floats
    return _normal(dict(sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))[:WIDTH]))


def _dot(one: Vector, other: Vector) -> float:
    if len(one) > len(other):
        one, other = other, one
    return sum(value * other.get(bucket, 0.0) for bucket, value in one.items())


def _normal(vector: Vector) -> Vector:
    length = math.sqrt(sum(value * value for value in vector.values()))
    return {bucket: value / length for bucket, value in vector.items()} if length else {}
