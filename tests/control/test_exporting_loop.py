"""Control sends traces beside its passes, and goes on when the receiver is slow or down."""

from __future__ import annotations

import threading
from dataclasses import replace

from control_shop import Shop, passes
from flyball.control.reconciler import step


def test_a_receiver_that_hangs_or_fails_stops_no_pass(shop: Shop) -> None:
    gate, calls = threading.Event(), []

    def export() -> int:
        calls.append(1)
        gate.wait(10)
        raise OSError("gone")

    context = replace(shop.control(), export=export, export_every_s=0.05)
    shop.made.append(context)
    passes(context, lambda: bool(calls))
    for _ in range(5):
        assert step(context)
    assert len(calls) == 1
    gate.set()
    passes(context, lambda: len(calls) > 1)
