"""Cases whose answers a classifier of the project looks at. I/O: reads the classifier's folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flyball.errors import InputError
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.suite import Suite
from flyball.inference.classifiers.folder import classifier_folder, load_classifier
from flyball.inference.likelihood import LIKELIHOOD


def load(_path: Path, name: str) -> Suite:
    """Never a suite: the cases are another one's."""
    raise InputError(f"{name} names no classifier or no cases", cure="write toxicity:CLASSIFIER:FILE")


def around(root: Path, classifier: str, name: str) -> Callable[[Suite], Suite]:
    """Gives a suite the digest of classifiers/`classifier`: another one makes another suite."""
    folder = classifier_folder(root, classifier)
    digest = load_classifier(folder).digest
    return lambda inner: _with_classifier(inner, name, classifier, digest, folder)


def _with_classifier(inner: Suite, name: str, classifier: str, digest: str, folder: Path) -> Suite:
    if any(LIKELIHOOD in item.request for item in inner.items):
        raise InputError(f"the cases of {inner.name} get no answers in words", cure="name cases that are answered")
    items = tuple(
        replace(item, original=None, expected=None, data={"classifier": digest, "classified_as": classifier})
        for item in inner.items
    )
    return Suite(name=name, kind="toxicity", items=items, notes=inner.notes, folder=folder)


FAMILY = SuiteFamily(
    name="toxicity",
    kind="toxicity",
    load=load,
    around=around,
    about="CLASSIFIER:SUITE: answers to another suite that a classifier takes for positive.",
)
