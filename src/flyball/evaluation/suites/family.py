"""A family of suites: how files of one public layout, or a generator, become cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flyball.evaluation.suites.suite import Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteFamily:
    """What `NAME:PATH` under evaluate.suites means: `load(path, name)` gives the suite, of one `kind` of measures.

    With `around`, `NAME:WITH:SUITE` is the cases of another suite: `around(root, with, name)` opens WITH, before SUITE
    is read, and gives what turns that suite into the new one. With `cases` SUITE is a file that it reads itself.
    `whole_clusters`: a sample counts clusters of cases and keeps each whole.
    """

    name: str
    kind: str
    load: Callable[[Path, str], Suite]
    about: str
    around: Callable[[Path, str, str], Callable[[Suite], Suite]] | None = None
    cases: Callable[[Path, str], Suite] | None = None
    whole_clusters: bool = False
