"""Observe a deployment: its requests and what was said of them, read from the ledger. I/O: reads the ledger.

Everything is recomputed from the ledger's order, so a new control process comes to the same evidence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from sqlalchemy import case, func, select

from flyball.records import Deployment, Feedback, RequestRecord, parse
from flyball.rollout.config import RolloutConfig
from flyball.rollout.evidence import Evidence, failure_rate_bound
from flyball.rollout.judged_answers import JudgedSample, answering_since, seq_before
from flyball.rollout.mirrored_pairs import Pairs
from flyball.rollout.observation import Observation
from flyball.rollout.plans import steps_of
from flyball.rollout.sampling import in_sample
from flyball.rollout.state_machine import History
from flyball.rollout.units import ended_ms, verdict_of
from flyball.storage import tables
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import requests_since

BATCH = 1000
BATCHES_PER_LOOK = 5
"""A look takes in so many requests at most: a rollback must not wait for a backlog."""
SETTLE_MS = 2000
"""What happened by a moment is in the ledger so much later: then it does not matter who looks, or how often."""
_BASELINE_REQUESTS = 1000
_SLACK_MS = 60_000  # a request is ingested after it began
_IDS_PER_QUERY = 400


class Analysis:
    """The running evidence of one deployment."""

    def __init__(self, ledger: Ledger, deployment: Deployment, config: RolloutConfig, *, began_ms: int) -> None:
        self.deployment = deployment
        before = _failures_of(ledger, deployment.replaces, began_ms) if deployment.replaces else (0, 0)
        self.evidence = Evidence(
            candidate=deployment.id,
            live=deployment.replaces,
            config=config,
            failure_rate_before=failure_rate_bound(*before),
            in_sample=lambda unit: in_sample(deployment.id, unit, config.judge_share),
        )
        self.sample = JudgedSample(deployment, config)
        self.pairs = Pairs(deployment.id, config)
        self._through_seq = seq_before(ledger, began_ms - _SLACK_MS)

    def look(self, ledger: Ledger, history: History, now_ms: int) -> None:
        """Take in what is new, and judge the units that are old enough."""
        self.evidence.shares = self._shares(history)
        self.sample.began_ms = answering_since(self.deployment, history)
        horizon_ms = now_ms
        if not any(step.state in ("ramping", "live") for step, _ in history):
            return  # no request can have reached it yet
        for _ in range(BATCHES_PER_LOOK):
            seen = requests_since(ledger, route=self.deployment.route, after_seq=self._through_seq, limit=BATCH)
            if seen:
                self._through_seq = seen[-1].seq
                self._take([one.record for one in seen])
            if len(seen) < BATCH:
                break
        else:  # a backlog: what is due by the clock may have requests that are still to be read
            horizon_ms = min(now_ms, ended_ms(seen[-1].record))
        self.pairs.match(ledger)
        self._judge(ledger, horizon_ms - SETTLE_MS)
        self._judge_pairs(ledger, horizon_ms - SETTLE_MS)

    def _take(self, records: Sequence[RequestRecord]) -> None:
        """Forced and mirrored requests are no evidence of an arm; mirrored ones are compared in pairs."""
        own = [record for record in records if not (record.mirrors or record.forced)]
        self.evidence.take(own)
        self.sample.take(own)
        self.pairs.take(records)

    def _judge(self, ledger: Ledger, until_ms: int) -> None:
        """Freeze what was due at a moment; of verdicts only those on drawn answers count."""
        due = self.evidence.due(until_ms)
        requests = [request for key in due for request in self.evidence.requests_of(key)]
        said = _feedback_of(ledger, requests)
        counted = {
            name: [one for one in words if one.judge is None or self.sample.counts(one)] for name, words in said.items()
        }
        self.evidence.judge(due, counted)

    def _judge_pairs(self, ledger: Ledger, until_ms: int) -> None:
        """Hear the verdicts on copies and their originals whose time is over; half a pair says nothing."""
        due = self.pairs.due(until_ms)
        said = _feedback_of(ledger, [name for pair in due for name in (pair.copy, pair.original)])
        for pair in due:
            copy, original = (
                verdict_of(said.get(name, ()), until_ms=pair.until_ms) for name in (pair.copy, pair.original)
            )
            if copy is not None and original is not None:
                self.pairs.evidence.hear(copy, original)

    def _shares(self, history: History) -> list[tuple[int, float]]:
        steps = steps_of(self.deployment)
        return [
            (at_ms, steps[transition.step].share)
            for transition, at_ms in history
            if transition.state == "ramping"
            and transition.step < len(steps)
            and steps[transition.step].variant != "shadow"
        ]

    def observation(self, seen: Observation) -> Observation:
        """What the machine looks at: what is known of engines and the route (`seen`), with the traffic added."""
        evidence = self.evidence
        compared = bool(evidence.counts["candidate"]["units"] and evidence.counts["live"]["units"])
        return replace(
            seen,
            candidate=evidence.arm("candidate"),
            live=evidence.arm("live"),
            first_ten_failures=evidence.first_ten_failures,
            outage=evidence.outage,
            failing_since_ms=evidence.failing_since_ms,
            harm={name: test.p_value for name, test in evidence.harm.items()} if compared else {},
            not_worse={name: test.p_value for name, test in evidence.not_worse.items()} if compared else {},
            sample_ratio=evidence.sample_ratio,
            doubts=evidence.doubts,
            figures=evidence.figures if compared else {},
            mirrored=self.pairs.evidence.summary(),
        )


def observe(
    ledger: Ledger,
    deployment: Deployment,
    history: History,
    config: RolloutConfig,
    *,
    now_ms: int,
    seen: Observation,
) -> Observation:
    """A single look from the beginning; a control process keeps an Analysis instead."""
    analysis = Analysis(ledger, deployment, config, began_ms=history[0][1] if history else now_ms)
    analysis.look(ledger, history, now_ms)
    return analysis.observation(seen)


def _failures_of(ledger: Ledger, deployment: str, before_ms: int) -> tuple[int, int]:
    """Failures and requests among the last of a deployment before a moment: the same whenever control restarts."""
    column = tables.requests.c
    where = (column.project == ledger.project, column.deployment == deployment, column.at_ms < before_ms)
    newest = (
        select(column.outcome)
        .where(*where, column.outcome != "refused", column.variant != "shadow")
        .order_by(column.seq.desc())
        .limit(_BASELINE_REQUESTS)
        .subquery()
    )
    failed = func.sum(case((newest.c.outcome.in_(("error", "cut")), 1), else_=0))
    with ledger.read() as connection:
        failures, requests = connection.execute(select(failed, func.count()).select_from(newest)).one()
    return int(failures or 0), int(requests)


def _feedback_of(ledger: Ledger, requests: Sequence[str]) -> dict[str, list[Feedback]]:
    """The feedback of many requests, oldest first."""
    found: dict[str, list[Feedback]] = defaultdict(list)
    column = tables.feedback.c
    with ledger.read() as connection:
        for ids in _chunks(requests):
            query = select(column.body).where(column.project == ledger.project, column.request.in_(ids))
            for row in connection.execute(query.order_by(column.seq)):
                said = parse(bytes(row.body), Feedback)
                if said.request is not None:
                    found[said.request].append(said)
    return found


def _chunks(items: Sequence[str]) -> Iterator[Iterable[str]]:
    for start in range(0, len(items), _IDS_PER_QUERY):
        yield items[start : start + _IDS_PER_QUERY]
