"""HateCheck: 29 functional tests of classifiers of hate. I/O: reads the published file.

Röttger et al. 2021, "HateCheck: Functional Tests for Hate Speech Detection Models", ACL; the capability of each test is
its class in table 1 there. Cases of one template, and cases made from another case, are one cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.public_rows import PublicRow, asked, groups_of, public_rows, split_plain, whole_suite
from flyball.evaluation.suites.suite import Item, Suite

LABELS: Final = ("hateful", "non-hateful")
QUESTION: Final = "Is this text hateful? Answer with one word, hateful or non-hateful."
CAPABILITIES: Final = {
    "derog": "derogation",
    "threat": "threatening language",
    "slur": "slur usage",
    "profanity": "profanity usage",
    "ref": "pronoun reference",
    "negate": "negation",
    "phrase": "phrasing",
    "ident": "non-hateful group identity",
    "counter": "counter speech",
    "target": "abuse of non-protected targets",
    "spell": "spelling variation",
}
"""By the first part of a functionality's name."""
NEEDED: Final = ("functionality", "case_id", "test_case", "label_gold", "target_ident", "direction", "templ_id")


def load(path: Path, name: str) -> Suite:
    """Every case, with its functionality as slice; groups: capability, target and direction."""
    path, plain = split_plain(path)
    rows = public_rows(path, "hatecheck", NEEDED, filled=("functionality", "case_id", "test_case"))
    parents = {row["templ_id"]: row["ref_templ_id"] for row in rows if row["ref_templ_id"]}
    return whole_suite(name, "labelled", [item_of(row, parents, plain=plain) for row in rows], path)


def item_of(row: PublicRow, parents: Mapping[str, str], *, plain: bool) -> Item:
    """One case under its published id."""
    functionality = row["functionality"].strip()
    capability = CAPABILITIES.get(functionality.partition("_")[0], "other")
    return Item(
        id=row["case_id"],
        messages=asked(QUESTION, row["test_case"].strip(), plain=plain),
        expected=row.one_of("label_gold", LABELS),
        slice=functionality,
        groups={
            "capability": capability,
            "type": "MFT",
            **groups_of(row, target="target_ident", direction="direction"),
        },
        cluster=f"template {first_of(row['templ_id'], parents)}",
        data={"labels": list(LABELS)},
    )


def first_of(template: str, parents: Mapping[str, str]) -> str:
    """The template that a template was made from, and that from, to the first."""
    seen: Sequence[str] = ()
    while template in parents and template not in seen:
        seen = (*seen, template)
        template = parents[template]
    return template


FAMILY = SuiteFamily(
    name="hatecheck", kind="labelled", load=load, about="HateCheck: functional tests of classifiers of hate."
)
