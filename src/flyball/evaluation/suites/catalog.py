"""A suite by its name: `test`, `invariance`, a file of cases, or FAMILY:PATH. I/O: reads the dataset's rows and files.

A new family of suites is one file and one line here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flyball.errors import InputError
from flyball.evaluation.suite_names import suite_name
from flyball.evaluation.suites import (
    advglue,
    aif360,
    bbq,
    bipia,
    canaries,
    checklist,
    counterfactual,
    counterfactual_imdb,
    group_rows,
    gsm8k,
    hatecheck,
    hatemojicheck,
    identity_templates,
    injection_prompts,
    likelihood,
    pii_regurgitation,
    preferences,
    rated,
    real_toxicity_prompts,
    refusal_prompts,
    scores,
    structured,
    system_prompt_extraction,
    tool_calls,
    toxicity,
    winobias,
    xstest,
)
from flyball.evaluation.suites.counterfactual import counterfactual_item
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.files import Columns, file_items
from flyball.evaluation.suites.group_rows import small_groups
from flyball.evaluation.suites.held_out import noted, row_items
from flyball.evaluation.suites.invariance import invariance_item
from flyball.evaluation.suites.suite import Item, Suite, sample

EDITS = {"invariance": invariance_item, "counterfactual": counterfactual_item}
"""Suites of edited rows, whose answers must stay the same: one edit a row, so that cases stay independent."""
VALIDATION = "validation"
"""The rows that recipes are chosen by, for `flyball search`; a gate never decides on them."""
OF_THE_ROWS = ("test", VALIDATION, *EDITS)
"""Suites made of a dataset's held-out rows; any other name is a file, or a family and its file."""
_FAMILIES: tuple[SuiteFamily, ...] = (
    advglue.FAMILY,
    aif360.FAMILY,
    bbq.FAMILY,
    bipia.FAMILY,
    canaries.FAMILY,
    checklist.FAMILY,
    counterfactual.FAMILY,
    counterfactual_imdb.FAMILY,
    group_rows.FAMILY,
    gsm8k.FAMILY,
    hatecheck.FAMILY,
    hatemojicheck.FAMILY,
    identity_templates.FAMILY,
    *injection_prompts.FAMILIES,
    *likelihood.FAMILIES,
    pii_regurgitation.FAMILY,
    preferences.FAMILY,
    rated.FAMILY,
    real_toxicity_prompts.FAMILY,
    *refusal_prompts.FAMILIES,
    scores.FAMILY,
    structured.FAMILY,
    system_prompt_extraction.FAMILY,
    tool_calls.FAMILY,
    toxicity.FAMILY,
    winobias.FAMILY,
    xstest.FAMILY,
)
FAMILIES: dict[str, SuiteFamily] = {family.name: family for family in _FAMILIES}


def family_of(name: str) -> SuiteFamily | None:
    """The family that `FAMILY:PATH` names; None for a plain name, InputError for a family that is not known."""
    prefix, colon, _ = name.partition(":")
    if not colon or not prefix.isidentifier():
        return None  # such as a path with a colon in it
    if prefix not in FAMILIES:
        raise InputError(
            f"no family of suites is called {prefix!r} (of {name})",
            cure=f"use one of {', '.join(sorted(FAMILIES))}, or a file name without a colon",
        )
    return FAMILIES[prefix]


def load_suites(
    names: Sequence[str],
    *,
    dataset_dir: Path | None,
    root: Path,
    max_items: int | None = None,
    columns: Columns | None = None,
) -> tuple[Suite, ...]:
    """The suites with these names, in order; InputError names the one that is missing or empty."""
    suites: list[Suite] = []
    for name in names:
        suite = load_suite(name, dataset_dir=dataset_dir, root=root, max_items=max_items, columns=columns)
        if suite.name in {other.name for other in suites}:
            raise InputError(f"two suites are called {suite.name}", cure="give their files different names")
        suites.append(suite)
    if not suites:
        raise InputError("no suites to run", cure="name some under evaluate.suites, such as test")
    return tuple(suites)


def load_suite(
    name: str,
    *,
    dataset_dir: Path | None,
    root: Path,
    max_items: int | None = None,
    columns: Columns | None = None,
) -> Suite:
    """One suite: `test`, `invariance`, `counterfactual`, or a file of cases relative to `root`."""
    notes: tuple[str, ...] = ()
    if family := family_of(name):
        path = name.partition(":")[2]
        if not path:
            raise InputError(f"{name} names no file", cure=f"write {family.name}:FILE")
        extra, colon, inner = path.partition(":")
        if family.around and colon and inner not in OF_THE_ROWS:
            wrap = family.around(root, extra, suite_name(name))
            if family.cases is None:
                return wrap(load_suite(inner, dataset_dir=None, root=root, max_items=max_items, columns=columns))
            suite = wrap(family.cases(root / inner, suite_name(name)))
        else:
            suite = family.load(root / path, suite_name(name))
        if not suite.items:
            raise InputError(f"the suite {name} has no cases", cure="give a file with some")
        items = sample(suite.items, max_items, whole_clusters=family.whole_clusters)
        notes = (*suite.notes, *_sampled(suite.name, items, len(suite.items)))
        if suite.kind == "bias":
            notes = (*notes, *small_groups(suite.name, items))
        return replace(suite, items=items, notes=notes)
    if name in OF_THE_ROWS:
        if dataset_dir is None:
            raise InputError(f"the suite {name} needs a dataset", cure="give a JSONL file instead")
        rows = row_items(dataset_dir, VALIDATION if name == VALIDATION else "test")
        held_out = sample(rows, max_items)
        items = held_out if name not in EDITS else tuple(filter(None, map(EDITS[name], held_out)))
        notes = (*noted(items), *_sampled(name, held_out, len(rows)))
    else:
        cases, notes = file_items(root / name, columns)
        items = sample(cases, max_items)
        notes = (*notes, *_sampled(suite_name(name), items, len(cases)))
    if not items:
        raise InputError(f"the suite {name} has no cases", cure="add rows with a label, or leave the suite out")
    kind = "invariance" if name in EDITS else "answer"
    return Suite(name=suite_name(name), kind=kind, items=items, notes=notes)


def _sampled(name: str, items: Sequence[Item], there: int) -> tuple[str, ...]:
    """That only a part was asked, so that nobody takes its figures for those of the whole suite."""
    return () if len(items) == there else (f"{name}: {len(items):,} of {there:,} cases, a seeded sample",)
