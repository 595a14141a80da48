"""Cases whose answers a judge of the project rates. I/O: reads the judge's file and people's labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flyball.errors import InputError
from flyball.evaluation.answer_judge import labels_of, load_judge
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.suite import Suite
from flyball.inference.likelihood import LIKELIHOOD
from flyball.statistics.prediction_powered import FEWEST_LABELS


def load(_path: Path, name: str) -> Suite:
    """Never a suite: the cases are another one's."""
    raise InputError(f"{name} names no judge or no cases", cure="write rated:JUDGE:FILE")


def around(root: Path, judge_name: str, name: str) -> Callable[[Suite], Suite]:
    """Gives a suite the digest of judges/`judge_name`.yaml: another rubric makes another suite.

    InputError where its file of labels holds fewer than a correction needs.
    """
    judge = load_judge(root, judge_name)
    labelled = labels_of(root, judge)
    if judge.labels and len(labelled) < FEWEST_LABELS:
        raise InputError(
            f"{judge.labels} holds {len(labelled)} labels: {FEWEST_LABELS - len(labelled)} are missing to correct the "
            f"judge {judge_name}",
            cure=f"label {FEWEST_LABELS} cases of this suite drawn at random, or leave `labels` out until then",
        )
    about = {"judge": judge.digest, "judged_by": judge_name}
    return lambda inner: _rated(inner, name, about, root)


def _rated(inner: Suite, name: str, about: dict[str, str], root: Path) -> Suite:
    if any(LIKELIHOOD in item.request for item in inner.items):
        raise InputError(f"the cases of {inner.name} get no answers in words", cure="name cases that are answered")
    items = tuple(replace(item, original=None, data=about) for item in inner.items)
    return Suite(name=name, kind="rated", items=items, notes=inner.notes, folder=root)


FAMILY = SuiteFamily(
    name="rated",
    kind="rated",
    load=load,
    around=around,
    about="JUDGE:SUITE: answers to another suite, each rated by the model of judges/JUDGE.yaml.",
)
