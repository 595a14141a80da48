"""Which release in turn is judged on a suite: one that is measured again keeps its number."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from flyball.records import EvalReport, GateDecision, name_of
from flyball.storage.ledger import Ledger
from flyball.workflows.gate import looks_of
from lineage_samples import chain


def test_the_same_release_measured_again_keeps_its_number_and_the_next_one_counts(ledger: Ledger) -> None:
    project = cast(Any, SimpleNamespace(ledger=ledger))
    first, second = chain(ledger, "first"), chain(ledger, "second")
    found = {one.record.release: one.record for one in ledger.find(EvalReport)}
    report = found[first.release]
    suite = report.suites[0].name
    assert looks_of(project, report) == {suite: 1} and looks_of(project, found[second.release]) == {suite: 2}

    again = replace(report, items_hash="another run of it")
    assert looks_of(project, again) == {suite: 1}
    decision = next(one.record for one in ledger.find(GateDecision) if one.record.release == first.release)
    ledger.append(again)
    ledger.append(replace(decision, report=name_of(again)))
    assert looks_of(project, replace(report, release="f" * 64)) == {suite: 3}, "two releases were judged in all"
