"""GSM8K: word problems whose worked answer ends with one number. I/O: reads the published file.

Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems" (arXiv:2110.14168). A case asks as task `gsm8k` of
lm-evaluation-harness asks without examples. Files: `question`, and `answer` with the number after `#### `.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from flyball.errors import InputError
from flyball.evaluation.measures.worked_number import strict
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.public_rows import PublicRow, public_rows, whole_suite
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Message

COLUMNS: Final = ("question", "answer")


def load(path: Path, name: str) -> Suite:
    """Every problem once, under the hash of its question."""
    items = [item_of(row) for row in public_rows(path, "gsm8k", COLUMNS, filled=COLUMNS)]
    return whole_suite(name, "worked_number", list({item.id: item for item in items}.values()), path)


def item_of(row: PublicRow) -> Item:
    """One problem; InputError where its answer ends with no number."""
    if (number := strict(row["answer"])) is None:
        raise InputError(f"{row.place}: the answer has no number after '#### '", cure="give GSM8K as it was published")
    return Item(
        id=hashlib.sha256(row["question"].encode()).hexdigest()[:32],
        messages=(Message(role="user", content=f"Question: {row['question']}\nAnswer:"),),
        expected=number,
    )


FAMILY = SuiteFamily(name="gsm8k", kind="worked_number", load=load, about="GSM8K: word problems with one number.")
