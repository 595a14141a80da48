"""Watches the mix of each column of a release's traffic against its first requests. I/O: the ledger.

The first requests of a release are its reference: a third of them fits the columns, the rest is counted. Afterwards
each request is an outcome of every column's test, a person counting once per block. Each column raises one finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from flyball.monitoring.columns import COLUMNS, Column, Exchange, Fit, categories
from flyball.monitoring.config import MonitorConfig
from flyball.monitoring.drift import PEOPLE
from flyball.monitoring.mix_detection import MixTest, Moved
from flyball.monitoring.monitor_state import Seen, load, save
from flyball.monitoring.observations import Answered, answered_since, texts_and_answers
from flyball.records import Finding
from flyball.records.identity import uuid7
from flyball.storage.ledger import Ledger

BATCH = 1000
RECENT = 300
EXAMPLES = 5
_FITTED = 3
"""One in so many requests of the reference fits the columns; the others are counted."""


class Recent(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A request that was taken in, by its categories in the order of COLUMNS."""

    seq: int
    request: str
    person: str
    categories: tuple[str, ...]


class MixProgress(Seen, kw_only=True):
    """How far a release's columns are: requests by id only, so that erasure has nothing to look for here."""

    reference: list[tuple[str, int]] = []  # id and answer tokens, until there are enough
    fits: dict[str, dict[str, Any]] = {}
    tests: dict[str, dict[str, Any]] = {}
    recent: list[Recent] = []
    findings: dict[str, str] = {}  # by column


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scene:
    ledger: Ledger
    config: MonitorConfig
    alpha: float
    route: str
    release: str


def watch_mixes(
    ledger: Ledger, *, config: MonitorConfig, alpha: float, route: str, release: str
) -> tuple[list[Finding], bool]:
    """Take in one batch of requests; the findings it raised, and whether more waits. `alpha` is for each column."""
    scene = _Scene(ledger=ledger, config=config, alpha=alpha, route=route, release=release)
    place = load(ledger, f"mix:{route}:{release}")
    progress = MixProgress() if place.state is None else msgspec.json.decode(place.state, type=MixProgress)
    if len(progress.findings) == len(COLUMNS):
        return [], False
    answered = answered_since(ledger, route=route, release=release, after_seq=place.through_seq, limit=BATCH)
    if not answered:
        return [], False
    kept = [one for one in answered if one.outcome == "ok" and progress.admits(one.person, fair=True)]
    findings = _take(scene, progress, kept)
    moved = save(ledger, place, progress, through_seq=answered[-1].seq, findings=findings)
    return (findings if moved else []), moved and len(answered) == BATCH


def _take(scene: _Scene, progress: MixProgress, kept: Sequence[Answered]) -> list[Finding]:
    if not progress.fits:
        room = scene.config.reference_requests - len(progress.reference)
        progress.reference += [(one.request, one.answer_tokens) for one in kept[:room]]
        if len(progress.reference) < scene.config.reference_requests:
            return []
        _fit(scene, progress)
        if not progress.fits:
            return []  # no reference request has a text: later ones are the reference
        kept = kept[room:]
    tests = {name: MixTest.restore(state) for name, state in progress.tests.items()}
    texts = texts_and_answers(scene.ledger, [one.request for one in kept])
    findings = []
    for one in kept:
        if one.request not in texts:
            continue
        text, answer = texts[one.request]
        exchange = Exchange(text=text, answer=answer, answer_tokens=one.answer_tokens)
        found = tuple(column.category(progress.fits[column.name], exchange) for column in COLUMNS)
        who = (one.person or one.request)[:16]
        progress.recent.append(Recent(seq=one.seq, request=one.request, person=who, categories=found))
        for column, category in zip(COLUMNS, found, strict=True):
            if column.name in progress.findings:
                continue
            test = tests[column.name]
            if test.update(category, place=one.seq) >= test.needed:
                finding = _finding(scene, progress, column, test, at=one.seq)
                if finding is not None:
                    progress.findings[column.name] = finding.id
                    findings.append(finding)
        if len(progress.recent) > 2 * RECENT:
            del progress.recent[:-RECENT]
    del progress.recent[:-RECENT]
    progress.tests = {name: test.state() for name, test in tests.items() if name not in progress.findings}
    return findings


def _fit(scene: _Scene, progress: MixProgress) -> None:
    """Fit each column on a third of the reference and count the rest; texts that are gone meanwhile are left out."""
    texts = texts_and_answers(scene.ledger, [name for name, _ in progress.reference])
    exchanges = [
        Exchange(text=texts[name][0], answer=texts[name][1], answer_tokens=tokens)
        for name, tokens in progress.reference
        if name in texts
    ]
    fitted = exchanges[::_FITTED]
    counted = [one for number, one in enumerate(exchanges) if number % _FITTED]
    progress.reference = []
    if not counted:
        return  # nothing of them is kept: the next requests are the reference
    for column in COLUMNS:
        fit = dict(column.fit(fitted))
        progress.fits[column.name] = fit
        progress.tests[column.name] = reference_test(column, fit, counted, scene.config, scene.alpha).state()


def reference_test(
    column: Column, fit: Fit, counted: Sequence[Exchange], config: MonitorConfig, alpha: float
) -> MixTest:
    """The test of a column whose reference is the mix of these exchanges, on which it was not fitted."""
    counts: Mapping[str, int] = Counter(column.category(fit, one) for one in counted)
    reference = {**dict.fromkeys(categories(column, fit), 0), **counts}
    return MixTest(reference, margin=config.mix_margin, alpha=alpha)


def _finding(scene: _Scene, progress: MixProgress, column: Column, test: MixTest, *, at: int) -> Finding | None:
    """What moved; None while too few people have shown it, for neither one customer nor one client is a trend."""
    moved, place = test.moved, COLUMNS.index(column)
    since = [one for one in progress.recent if one.seq >= moved.place]
    shown = [one for one in since if moved.direction == "below" or one.categories[place] == moved.category]
    if len({one.person for one in shown}) < PEOPLE:
        return None
    return Finding(
        id=uuid7(),
        project=scene.ledger.project,
        kind="drift",
        severity="warning",
        route=scene.route,
        release=scene.release,
        measure=column.name,
        value=moved.hits / moved.n,
        reference=moved.reference,
        evidence={
            "e_value": test.e_value,
            "alpha": test.alpha,
            "limit": moved.limit,
            "category": moved.category or "other",
            "since_n": moved.n,
            "since_count": moved.hits,
            "observed_in_all": test.n,
        },
        first_seq=moved.place,
        last_seq=at,
        examples=tuple(one.request for one in shown[-EXAMPLES:]),
        explanation=_explained(column, progress.fits[column.name], test, moved),
    )


def _explained(column: Column, fit: Fit, test: MixTest, moved: Moved) -> str:
    tolerated = "at most" if moved.direction == "above" else "at least"
    return (
        f"{moved.hits} of the last {moved.n} {column.what} ({moved.hits / moved.n:.1%}) were "
        f"{column.described(fit, moved.category)}; {moved.reference:.1%} in the first requests of this release, "
        f"tolerated {tolerated} {moved.limit:.1%}. The evidence is e = {test.e_value:.3g}, needed was "
        f"{test.needed:.3g}; such an alarm by accident, over the whole life of this release, has a probability of "
        f"at most α = {test.alpha:.2g}."
    )
