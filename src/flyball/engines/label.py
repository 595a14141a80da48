"""What a classifier answers: one label, and the probabilities of all labels where it gives them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flyball.errors import UpstreamError

_TOLERANCE = 0.02
"""By so much the sum of probabilities in 16 bits may differ from 1."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label; `probabilities` are those of `labels`, in their order, and both are empty where none are known."""

    name: str
    labels: Sequence[str] = ()
    probabilities: Sequence[float] = ()


def likeliest(labels: Sequence[str], probabilities: Sequence[float], *, name: str | None = None) -> Label:
    """The label with the highest probability, of two equal ones the first; `name`: the one that the model chose."""
    best = max(range(len(labels)), key=probabilities.__getitem__)
    return Label(labels[best] if name is None else name, labels, probabilities)


def from_named_scores(scores: Mapping[str, float], *, logits: bool) -> Label:
    """The label of scores by name; of a server that gives the best few alone, no probabilities are known."""
    if not scores:
        raise UpstreamError("the model gives no label", cure="look at the model")
    names, values = tuple(scores), tuple(scores.values())
    if logits or abs(sum(values) - 1) <= _TOLERANCE:
        return from_scores(values, names, logits=logits)
    return Label(likeliest(names, values).name)


def from_scores(scores: Sequence[float], labels: Sequence[str], *, logits: bool, name: str | None = None) -> Label:
    """The label of a model's scores, which are probabilities, or logits of a softmax.

    UpstreamError where they are not as many as the labels, no finite numbers, or no probabilities.
    """
    if len(scores) != len(labels):
        raise UpstreamError(
            f"the model gives {len(scores)} scores, release.engine.labels names {len(labels)} labels",
            cure="name the labels in the order of the model's scores",
        )
    if not all(math.isfinite(score) for score in scores):
        raise UpstreamError(f"the model gives scores that are no numbers: {list(scores)[:5]}", cure="look at the model")
    if logits:
        top = max(scores)
        powers = [math.exp(score - top) for score in scores]
        total = sum(powers)
        scores = [power / total for power in powers]
    elif min(scores) < -_TOLERANCE or abs(sum(scores) - 1) > _TOLERANCE:
        raise UpstreamError(
            f"the model's scores are no probabilities: they sum to {sum(scores):.4g}, the least is {min(scores):.4g}",
            cure="set release.engine.logits: true, or leave the scores out",
        )
    return likeliest(labels, scores, name=name)
