"""How many of an evaluation's requests the release's preparation changes, by step. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from flyball.evaluation.suites.suite import FOLLOW_UPS
from flyball.inference.messages import content_text
from flyball.inference.preparation import TextPreparer
from flyball.records import Preparation


def changed_by_step(bodies: Iterable[Mapping[str, Any]], preparation: Preparation | None) -> dict[str, int]:
    """Requests of which a message is changed by each step; empty for a release that prepares nothing."""
    if preparation is None:
        return {}
    prepare = TextPreparer(preparation)
    changed: Counter[str] = Counter()
    for body in bodies:
        texts = [*(content_text(message["content"]) for message in body["messages"]), *body.get(FOLLOW_UPS, ())]
        changed.update({step for text in texts for step in prepare(text)[1]})
    return dict(sorted(changed.items()))
