"""The suite `invariance`: one seeded edit of each held-out row, whose answer must stay the same. Pure.

One edit a row, so that cases stay independent.
"""

from __future__ import annotations

from flyball.evaluation.suites.perturbations import perturb
from flyball.evaluation.suites.suite import Item
from flyball.records import Message

EDIT_SEED = "invariance-1"


def invariance_item(item: Item) -> Item | None:
    """The same case after one edit of its last message; None where no edit applies."""
    *before, last = item.messages
    edited = perturb(last.content, f"{EDIT_SEED}:{item.id}")
    if edited is None:
        return None
    kind, text = edited
    messages = (*before, Message(role=last.role, content=text))
    return Item(id=item.id, messages=messages, original=item.messages, slice=kind)
