"""What was made from a dataset: training runs, models (also those tuned from them), releases. I/O: reads edges."""

from __future__ import annotations

from collections.abc import Iterable

from flyball.records import ModelVersion, Release, TrainingRun
from flyball.storage.ledger import Ledger

MARKED = (TrainingRun, ModelVersion, Release)


def trained_on(ledger: Ledger, datasets: Iterable[str]) -> dict[str, list[str]]:
    """Names of everything trained on these dataset versions, by record type, in ledger order.

    A newer DatasetVersion is not followed: it holds a person's rows only if its own eraser says so.
    """
    found: dict[str, dict[str, int]] = {kind.__name__: {} for kind in MARKED}
    waiting = list(datasets)
    while waiting:
        for edge in ledger.children(waiting.pop()):
            stored = ledger.get(edge.child)
            kind = type(stored.record).__name__
            if isinstance(stored.record, MARKED) and stored.id not in found[kind]:
                found[kind][stored.id] = stored.seq
                waiting.append(stored.id)
    return {kind: sorted(names, key=names.__getitem__) for kind, names in found.items() if names}
