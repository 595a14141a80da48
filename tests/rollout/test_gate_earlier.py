"""Decisions that were made with an earlier method still recompute."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from flyball.errors import CorruptionError
from flyball.evaluation.item_scores import ItemScore, items_hash
from flyball.records import EvalReport, GateDecision, SuiteRef, name_of
from flyball.rollout.config import GateConfig, GateRule
from flyball.rollout.gate import decide, verify
from flyball.statistics.classification import Drawn

ROWS = 5_200
SCORES = [
    ItemScore(
        suite="test",
        item=f"{k:05d}",
        measure="accuracy",
        score=float(k % 7 > 0),
        expected="ab"[k % 2],
        answer="ab"[(k + (k % 7 == 0)) % 2],
    )
    for k in range(ROWS)
]
REPORT = EvalReport(
    project="shop",
    release="a" * 64,
    dataset=None,
    suites=(SuiteRef(name="test", fingerprint="f" * 64, items=ROWS),),
    measures=(),
    items_hash=items_hash(SCORES),
    failures=0,
    engine="llama.cpp",
    prompt_path=1,
)


def decision(drawn: Drawn) -> GateDecision:
    policy = GateConfig(rules=(GateRule(measure="macro_f1", at_least=0.8),))
    about: dict[str, Any] = {"project": "shop", "release": "a" * 64, "report": REPORT, "report_name": name_of(REPORT)}
    return decide(policy, **about, items=SCORES, baseline=None, drawn=drawn)


def test_macro_f1_of_many_rows_verifies_as_it_was_drawn_then_and_as_it_is_drawn_now() -> None:
    now, then = decision("counts"), decision("rows")
    assert "bootstrap of counts" in now.checks[0].reason and "of counts" not in then.checks[0].reason
    assert now.checks[0].bound == pytest.approx(then.checks[0].bound, abs=0.002)
    verify(now, REPORT, SCORES)
    verify(then, REPORT, SCORES)
    forged = dataclasses.replace(then, checks=(dataclasses.replace(then.checks[0], bound=0.99),))
    with pytest.raises(CorruptionError, match=r"test\.macro_f1 at_least"):
        verify(forged, REPORT, SCORES)
