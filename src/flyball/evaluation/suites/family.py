"""A family of suites: how files of one public layout, or a generator, become cases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flyball.evaluation.suites.suite import Suite


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteFamily:
    """What `NAME:PATH` under evaluate.suites means: `load(path, name)` gives the suite, of one `kind` of measures.

    With `around`, `NAME:WITH:SUITE` is the cases of another suite: `around(suite, root, with, name)` gives the new one.
    """

    name: str
    kind: str
    load: Callable[[Path, str], Suite]
    about: str
    around: Callable[[Suite, Path, str, str], Suite] | None = None
