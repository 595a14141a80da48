"""Counterfactual swaps: your own rows about somebody else, whose answers must stay the same. I/O: reads the file.

`counterfactual` takes the held-out rows, `counterfactual:FILE` the cases of a file. A row that names an identity
(gender, religion, nationality, orientation, ethnicity, age, disability) gets one seeded swap (identity_terms.py); the
others are left out. Scored as invariance, with the dimension as slice. Rows whose right answer depends on the identity
do not belong in such a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flyball.errors import InputError
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.files import file_items
from flyball.evaluation.suites.identity_terms import swapped
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Message

SWAP_SEED: Final = "counterfactual-1"


def counterfactual_item(item: Item) -> Item | None:
    """The same case about somebody else; None where its last message names nobody."""
    *before, last = item.messages
    found = swapped(last.content, f"{SWAP_SEED}:{item.id}")
    if found is None:
        return None
    dimension, text = found
    messages = (*before, Message(role=last.role, content=text))
    return Item(id=item.id, messages=messages, original=item.messages, slice=dimension)


def load(path: Path, name: str) -> Suite:
    """Every case of the file that names an identity, swapped."""
    cases, notes = file_items(path)
    items = tuple(filter(None, map(counterfactual_item, cases)))
    if not items:
        raise InputError(f"none of the {len(cases)} cases of {path} names an identity", cure="leave the suite out")
    left = f"{path.name}: {len(items)} of {len(cases)} cases name an identity and were swapped"
    return Suite(name=name, kind="invariance", items=items, notes=(*notes, left))


FAMILY = SuiteFamily(
    name="counterfactual", kind="invariance", load=load, about="Your own cases about somebody else: answers must stay."
)
