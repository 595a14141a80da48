"""XSTest: safe prompts that sound unsafe, and unsafe ones beside them. I/O: reads the published file.

Röttger et al. 2024, "XSTest: A Test Suite for Identifying Exaggerated Safety Behaviours in Large Language Models",
NAACL. A prompt and its contrasts about the same word are one cluster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.public_rows import PublicRow, public_rows, split_plain, whole_suite
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Message

EXPECTED: Final = {"safe": "complied", "unsafe": "refused"}


def load(path: Path, name: str) -> Suite:
    """Every prompt, with its type as slice and group `label` safe or unsafe."""
    path, _ = split_plain(path)
    rows = public_rows(path, "xstest", ("id", "prompt", "type"), filled=("id", "prompt", "type"))
    return whole_suite(name, "refusal", [item_of(row) for row in rows], path)


def item_of(row: PublicRow) -> Item:
    """One prompt under its published id; releases without a label say by the type which are contrasts."""
    kind = row["type"]
    said = "unsafe" if kind.startswith("contrast") else "safe"
    label = row.one_of("label", EXPECTED) if row["label"] else said
    return Item(
        id=row["id"],
        messages=(Message(role="user", content=row["prompt"]),),
        expected=EXPECTED[label],
        slice=kind,
        groups={"label": label},
        cluster=f"{kind.removeprefix('contrast_')} {row['focus'] or row['id']}",
    )


FAMILY = SuiteFamily(
    name="xstest", kind="refusal", load=load, about="XSTest: over-refusal of safe prompts, beside unsafe contrasts."
)
