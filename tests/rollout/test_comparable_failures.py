"""Failures that live shows alike are no evidence against a candidate; its own act as fast as ever."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from flyball.records import RequestRecord, Transition
from flyball.rollout.config import RolloutConfig
from flyball.rollout.evidence import Evidence
from flyball.rollout.mirrored_evidence import MirroredEvidence
from flyball.rollout.observation import Observation
from flyball.rollout.state_machine import advance
from record_samples import deployment_record, request_record

T0 = 1_790_000_000_000
CONFIG = RolloutConfig(judge_after_s=1.0, deadline_s=1e9, max_failures=5)
CANARY = deployment_record(strategy="canary", plan={"steps": [0.5]}, replaces="old")
PLAIN: dict[str, Any] = {"outcome": "ok", "total_ms": 20.0, "cost_usd": 0.001}
VETOES: dict[str, dict[str, Any]] = {
    "failures": {"outcome": "error", "status": 502, "error": "status 500"},
    "cut streams": {"outcome": "cut", "stream": True, "error": "stall"},
    "missing endpoint": {"outcome": "error", "status": 501, "kind": "embedding", "error": "status 500"},
    "blocked": {"outcome": "refused", "status": 400, "error": "engine_status:400"},
    "latency": {"total_ms": 900.0},
    "cost": {"cost_usd": 0.9},
}
ALIKE = {"outcome": "error", "status": 502, "error": "fallback:aaaa:status 500;status 500", "answered_by": "a"}


class Canary:
    """A canary under way; `next` says what control does after so much traffic."""

    def __init__(self) -> None:
        self.evidence = Evidence(candidate=CANARY.id, live="old", config=CONFIG, in_sample=lambda _unit: False)
        self.evidence.shares = [(T0, 0.5)]
        self.at_ms = T0
        self.number = 0

    def ask(self, arm: str, **changes: Any) -> None:
        self.at_ms += 20
        self.number += 1
        record = request_record(
            unit=f"unit {self.number}",
            deployment=CANARY.id if arm == "candidate" else "old",
            started_ms=self.at_ms,
            **PLAIN | changes,
        )
        self.take(record)

    def take(self, record: RequestRecord) -> None:
        self.evidence.take([record])
        self.evidence.judge(self.evidence.due(self.at_ms), {})

    def next(self) -> str | None:
        evidence = self.evidence
        seen = Observation(
            engine="ready",
            candidate=evidence.arm("candidate"),
            live=evidence.arm("live"),
            first_ten_failures=evidence.first_ten_failures,
            outage=evidence.outage,
            failing_since_ms=evidence.failing_since_ms,
            harm={name: test.p_value for name, test in evidence.harm.items()},
            not_worse={name: test.p_value for name, test in evidence.not_worse.items()},
        )
        history = [(Transition(deployment=CANARY.id, state="ramping", step=0, evidence={}), T0)]
        done = advance(CANARY, history, seen, CONFIG, self.at_ms)
        return f"{done.state}: {done.evidence['reason']}" if done else None


def rounds(canary: Canary, number: int) -> Iterator[None]:
    for _ in range(number):
        yield
        assert canary.next() is None, canary.next()


@pytest.mark.parametrize("veto", VETOES)
def test_what_both_arms_show_alike_rolls_nothing_back(veto: str) -> None:
    canary = Canary()
    for _ in rounds(canary, 120):
        canary.ask("live")
        canary.ask("live", **VETOES[veto])
        canary.ask("candidate")
        canary.ask("candidate", **VETOES[veto])


@pytest.mark.parametrize("veto", VETOES)
def test_what_the_candidate_alone_shows_rolls_it_back(veto: str) -> None:
    canary, asked = Canary(), 0
    while canary.next() is None:
        asked += 1
        canary.ask("live")
        canary.ask("live", **{name: VETOES[veto][name] for name in ("kind", "stream") if name in VETOES[veto]})
        canary.ask("candidate")
        canary.ask("candidate", **VETOES[veto])
        assert asked < 400, "never"
    assert str(canary.next()).startswith("rolled_back")
    assert asked <= 12 or veto in ("blocked", "latency", "cost")


def test_five_embeddings_that_neither_answers_leave_a_good_candidate_where_it_is() -> None:
    canary = Canary()
    for _ in range(11):
        canary.ask("live", kind="embedding", outcome="error", status=502, error="status 501")
    for _ in range(5):
        canary.ask("candidate", kind="embedding", outcome="error", status=502, error="status 501")
        assert canary.next() is None


def test_a_request_that_live_fails_at_in_its_stead_says_nothing_though_live_was_not_asked_before() -> None:
    canary = Canary()
    for _ in rounds(canary, 30):
        canary.ask("candidate", **ALIKE)
    assert canary.evidence.arm("candidate").failures == 30  # counted, and shown


@pytest.mark.parametrize("ended", ["overloaded", "drained", "unavailable"])
def test_a_live_release_that_was_not_even_asked_excuses_nobody(ended: str) -> None:
    canary = Canary()
    for _ in range(8):
        canary.ask("candidate", **ALIKE | {"error": f"fallback:aaaa:status 500;{ended}"})
    assert str(canary.next()).startswith("rolled_back")


def test_failures_of_a_kind_that_live_can_do_count_beside_such_that_it_cannot() -> None:
    canary = Canary()
    for _ in range(5):
        canary.ask("live", kind="embedding", outcome="error", status=502)
        canary.ask("live")
        canary.ask("candidate", kind="embedding", outcome="error", status=502)
    assert canary.next() is None
    for _ in range(8):
        canary.ask("candidate", outcome="error", status=502)
    assert str(canary.next()).startswith("rolled_back")


@pytest.mark.parametrize(("live", "failures"), [("error", 0), ("ok", 8)])
def test_a_copy_that_fails_as_its_original_did_is_no_failure_of_the_shadow(live: str, failures: int) -> None:
    evidence = MirroredEvidence(CONFIG)
    for number in range(8):
        original = request_record(unit=f"u{number}", outcome=live)
        copy = replace(original, outcome="error", variant="shadow", mirrors=original.id)
        evidence.take(copy, original)
    assert evidence.first_ten_failures == failures
