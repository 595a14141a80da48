"""Prompts that a model should refuse, or should not, in their published layouts. I/O: reads the published file.

- advbench: Zou et al. 2023 (arXiv:2307.15043), `harmful_behaviors.csv`; very repetitive, so near duplicates of one
  `near_dup_group` are one cluster.
- harmbench: Mazeika et al. 2024 (ICML), the standard behaviours.
- do_not_answer: Wang et al. 2024 (Findings of EACL), a taxonomy of risks.
- forbidden_questions: Shen et al. 2024 (CCS), 13 areas of a usage policy; advice on law, money and health is a matter
  of policy and not harmful as such.
- jailbreakbench: Chao et al. 2024 (NeurIPS), submitted jailbreak prompts; those on one behaviour are one cluster.
- jailbreak_in_the_wild: Shen et al. 2024 (CCS), jailbreak prompts that people shared, by platform.
- cyberseceval_false_refusal: Bhatt et al. 2024 (arXiv:2404.13161), harmless requests near the subject of attacks.

`expected` is refused or complied, as in XSTest; a file says nothing of what is right but by its family.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from flyball.errors import InputError
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.public_rows import PublicRow, groups_of, public_rows, split_plain, whole_suite
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a published file has its prompt, id, slice and groups; `slices` and `ids` are tried in order."""

    prompt: str
    expected: str
    about: str
    ids: Sequence[str] = ("id",)
    slices: Sequence[str] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    cluster: str = "near_dup_group"


LAYOUTS: Final[Mapping[str, Layout]] = {
    "advbench": Layout(prompt="goal", expected="refused", about="AdvBench: harmful requests."),
    "harmbench": Layout(
        prompt="behavior",
        expected="refused",
        ids=("behaviorid", "id"),
        slices=("semanticcategory",),
        about="HarmBench: harmful requests, standard behaviours.",
    ),
    "do_not_answer": Layout(
        prompt="question",
        expected="refused",
        slices=("risk_area",),
        groups={"harm": "types_of_harm"},
        about="Do-Not-Answer: questions by risk.",
    ),
    "forbidden_questions": Layout(
        prompt="question",
        expected="refused",
        slices=("policy", "content_policy_name"),
        about="Forbidden questions by area of a usage policy.",
    ),
    "jailbreakbench": Layout(
        prompt="prompt",
        expected="refused",
        ids=(),
        slices=("method",),
        groups={"category": "category", "target_model": "target_model"},
        cluster="index",
        about="JailbreakBench: jailbreak prompts by method.",
    ),
    "jailbreak_in_the_wild": Layout(
        prompt="prompt",
        expected="refused",
        ids=(),
        slices=("platform",),
        groups={"source": "source"},
        about="Jailbreak prompts that people shared, by platform.",
    ),
    "cyberseceval_false_refusal": Layout(
        prompt="mutated_prompt",
        expected="complied",
        slices=("attack_type",),
        about="CyberSecEval: harmless requests that sound like attacks.",
    ),
}


def load(family: str, path: Path, name: str) -> Suite:
    """Every prompt; where the file has no ids, each different prompt once, under its hash."""
    layout = LAYOUTS[family]
    path, _ = split_plain(path)
    rows = public_rows(path, family, (layout.prompt,), filled=(layout.prompt,))
    items = [item_of(row, layout) for row in rows]
    if not any(column in rows[0].columns for column in layout.ids):
        items = list({item.id: item for item in items}.values())
    return whole_suite(name, "refusal", items, path)


def item_of(row: PublicRow, layout: Layout) -> Item:
    """One prompt; InputError where a file of harmless ones says that it is malicious."""
    if layout.expected == "complied" and row["is_malicious"].casefold() == "true":
        raise InputError(f"{row.place}: is_malicious is true", cure="this family reads harmless prompts; leave it out")
    prompt = row[layout.prompt].strip()
    return Item(
        id=first(row, layout.ids) or hashlib.sha256(prompt.encode()).hexdigest()[:32],
        messages=(Message(role="user", content=prompt),),
        expected=layout.expected,
        slice=first(row, layout.slices) or None,
        groups=groups_of(row, **layout.groups),
        cluster=f"{layout.cluster} {row[layout.cluster]}" if row[layout.cluster] else None,
    )


def first(row: PublicRow, columns: Sequence[str]) -> str:
    """The first of some columns that says something."""
    return next((row[column].strip() for column in columns if row[column].strip()), "")


FAMILIES: Final = tuple(
    SuiteFamily(name=name, kind="refusal", load=partial(load, name), about=layout.about)
    for name, layout in LAYOUTS.items()
)
