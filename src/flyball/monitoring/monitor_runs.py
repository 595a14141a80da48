"""The running tests of a live release: each counts an observation once and raises one finding. I/O: the ledger."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from flyball.monitoring.change_detection import ChangeTest
from flyball.monitoring.config import MonitorConfig
from flyball.monitoring.drift import drift_evidence
from flyball.monitoring.explanations import explain, name_failures, what_failed
from flyball.monitoring.mix_monitor import watch_mixes
from flyball.monitoring.monitor import LiveView, Monitor, Observation
from flyball.monitoring.monitor_state import Place, Progress, load, save
from flyball.monitoring.monitors import WATCHES, observe, watches_for
from flyball.monitoring.observations import answered_since, graded_since, user_texts
from flyball.records import JSON, Finding
from flyball.records.identity import uuid7
from flyball.storage.ledger import Ledger

BATCH = 1000
BATCHES = 10
"""Per pass and watch: a long backlog is worked off over several passes, so that control stays quick."""
PENDING = 1000
EXAMPLES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    ledger: Ledger
    config: MonitorConfig
    route: str
    live: LiveView

    @property
    def alpha(self) -> float:
        return self.config.alpha / WATCHES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    observations: list[Observation]
    through_seq: int
    pending: tuple[str, ...] = ()
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alarm:
    """The observation at which the evidence sufficed, and what the test says of the time before."""

    seq: int
    e_value: float
    first_seq: int
    n: int
    hits: int


def run_monitors(ledger: Ledger, *, config: MonitorConfig, route: str, live: LiveView) -> list[Finding]:
    """Take in what is new about the live release; the findings this raised (each kind once per release and route)."""
    scene = _Scene(ledger=ledger, config=config, route=route, live=live)
    findings = []
    for watch in watches_for(config, live):
        for _ in range(BATCHES):
            finding, more = _advance(scene, watch)
            findings += [finding] if finding else []
            if not more:
                break
    for _ in range(BATCHES):
        found, more = watch_mixes(ledger, config=config, alpha=scene.alpha, route=route, release=live.release)
        findings += found
        if not more:
            break
    return findings


def _advance(scene: _Scene, watch: Monitor) -> tuple[Finding | None, bool]:
    """One batch of one watch: its finding, and whether more waits."""
    place = load(scene.ledger, f"{watch.kind}:{scene.route}:{scene.live.release}")
    progress = _progress(place, watch)
    if progress.finding is not None:
        return None, False
    batch = _read(scene, watch, place.through_seq, progress)
    pending = list(batch.pending)
    if not batch.observations and batch.through_seq == place.through_seq and pending == progress.pending:
        return None, False
    alarm = _take(batch.observations, watch, progress, scene.alpha)
    progress.lost += max(0, len(pending) - PENDING)
    progress.pending = pending[-PENDING:]
    finding = _finding(scene, watch, progress, alarm) if alarm else None
    progress.finding = finding.id if finding else None
    through = alarm.seq if alarm else batch.through_seq
    through = max(through, place.through_seq)
    moved = save(scene.ledger, place, progress, through_seq=through, findings=[finding] if finding else [])
    return (finding if moved else None), moved and finding is None and batch.full


def _progress(place: Place, watch: Monitor) -> Progress:
    if place.state is None:
        return Progress(test=ChangeTest(watch.limit, watch.direction).state())
    return msgspec.json.decode(place.state, type=Progress)


def _read(scene: _Scene, watch: Monitor, after_seq: int, progress: Progress) -> _Batch:
    ledger, route, release = scene.ledger, scene.route, scene.live.release
    if watch.kind == "quality":
        batch = graded_since(
            ledger, route=route, release=release, after_seq=after_seq, pending=progress.pending, limit=BATCH
        )
        observations = [
            Observation(seq=one.seq, request=one.request, person=one.person, seen=one.good) for one in batch.graded
        ]
        return _Batch(observations=observations, through_seq=batch.through_seq, pending=batch.pending, full=batch.full)
    answered = answered_since(ledger, route=route, release=release, after_seq=after_seq, limit=BATCH)
    texts = user_texts(ledger, [one.request for one in answered]) if watch.kind == "drift" else {}
    return _Batch(
        observations=observe(watch, answered, texts, scene.config, scene.live),
        through_seq=answered[-1].seq if answered else after_seq,
        full=len(answered) == BATCH,
    )


def _take(observations: list[Observation], watch: Monitor, progress: Progress, alpha: float) -> _Alarm | None:
    """Feed the test; stops at the observation at which the evidence suffices."""
    test = ChangeTest.restore(progress.test)
    wanted = watch.direction == "above"
    alarm = None
    for one in observations:
        if not progress.admits(one.person, fair=watch.people > 1):
            continue
        e_value = test.update(one.seen, place=one.seq)
        if one.seen is wanted:
            progress.remember(one)
        if e_value >= 1.0 / alpha:
            first, n, hits = test.suspected
            if len({example.person for example in progress.since(first)}) >= watch.people:
                alarm = _Alarm(seq=one.seq, e_value=e_value, first_seq=first, n=n, hits=hits)
                break
    progress.test = test.state()
    return alarm


def _finding(scene: _Scene, watch: Monitor, progress: Progress, alarm: _Alarm) -> Finding:
    examples = [example.request for example in progress.since(alarm.first_seq)]
    explanation = explain(watch, hits=alarm.hits, n=alarm.n, e_value=alarm.e_value, alpha=scene.alpha)
    evidence: dict[str, JSON] = {
        "e_value": alarm.e_value,
        "alpha": scene.alpha,
        "limit": watch.limit,
        "since_n": alarm.n,
        "since_count": alarm.hits,
        "observed_in_all": progress.test["n"],
    }
    if watch.kind == "drift":
        found, words = drift_evidence(scene.ledger, scene.live, examples)
        evidence |= found
        explanation = f"{explanation} {words}".rstrip()
    if watch.kind == "errors":
        failures = what_failed(scene.ledger, examples)
        evidence["failures"] = [{"what": one.what, "cause": one.cause, "requests": one.requests} for one in failures]
        explanation = f"{explanation} {name_failures(failures)}"
    return Finding(
        id=uuid7(),
        project=scene.ledger.project,
        kind=watch.kind,
        severity=watch.severity,
        route=scene.route,
        release=scene.live.release,
        measure=watch.measure,
        value=alarm.hits / alarm.n,
        reference=watch.reference,
        evidence=evidence,
        first_seq=alarm.first_seq,
        last_seq=alarm.seq,
        examples=tuple(examples[-EXAMPLES:]),
        explanation=explanation,
    )
