"""HatemojiCheck: functional tests of hate that emoji carry. I/O: reads the published file.

Kirk et al. 2022, "Hatemoji", NAACL. A test group (a case with its changes of identity, polarity and emoji) is one
cluster, and a contrast set where its labels differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.hatecheck import LABELS, QUESTION
from flyball.evaluation.suites.public_rows import PublicRow, asked, groups_of, public_rows, split_plain, whole_suite
from flyball.evaluation.suites.suite import Item, Suite

NEEDED: Final = ("case_id", "test_group_id", "text", "target", "functionality", "set", "label_gold")
KINDS: Final = {
    "orig": "original",
    "identity_perturb": "identity changed",
    "polarity_perturb": "polarity changed",
    "no_emoji_perturb": "without emoji",
}


def load(path: Path, name: str) -> Suite:
    """Every case of the test suite, with its functionality as slice; groups: variant and target."""
    path, plain = split_plain(path)
    rows = public_rows(path, "hatemojicheck", NEEDED, filled=("functionality", "case_id", "text"))
    chosen = [row for row in rows if row["included_in_test_suite"] in ("", "1")]
    return whole_suite(name, "labelled", [item_of(row, plain=plain) for row in chosen], path)


def item_of(row: PublicRow, *, plain: bool) -> Item:
    """One case under its published id."""
    label = LABELS[0] if row.one_of("label_gold", ("0", "1")) == "1" else LABELS[1]
    return Item(
        id=row["case_id"],
        messages=asked(QUESTION, row["text"].strip(), plain=plain),
        expected=label,
        slice=row["functionality"].strip(),
        groups={"variant": KINDS[row.one_of("set", KINDS)], "type": "MFT", **groups_of(row, target="target")},
        cluster=f"group {row['test_group_id']}",
        data={"labels": list(LABELS)},
    )


FAMILY = SuiteFamily(
    name="hatemojicheck", kind="labelled", load=load, about="HatemojiCheck: functional tests of hate that emoji carry."
)
