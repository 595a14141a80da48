"""Ask two releases the recorded requests of production again, and say whether the candidate is worse. I/O: engines.

Both answer through their own engines and prompt paths, with the history of a conversation as it was logged. Nothing of
it is traffic: no request is recorded, no key is charged; what it costs is booked to the project as `replay`. The
result is a finding, so that the person who decides a paused canary sees it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from flyball.cost.charges import charge
from flyball.cost.config import CostConfig
from flyball.cost.prices import request_usd
from flyball.engines.catalog import is_elsewhere, kind_of
from flyball.errors import FlyballError, InputError, NotFoundError
from flyball.inference.completions import HttpCompleter
from flyball.records import Deployment, Finding, Release
from flyball.records.identity import short, uuid7
from flyball.records.prices import UsdPerMillion
from flyball.rollout.deployments import rollback
from flyball.rollout.replay import Answered, Comparison, Pair, clustered
from flyball.rollout.sampling import place
from flyball.rollout.state_machine import ENDED
from flyball.security import audit
from flyball.serving.engine_processes import engine_process, running_engines
from flyball.serving.placement import require_memory
from flyball.storage.deployments import history, pointer
from flyball.telemetry import Progress
from flyball.wiring import Project
from flyball.workflows.engine_terms import EngineTerms
from flyball.workflows.recorded_requests import Recorded, recorded_requests

MOST_PER_CLUSTER = 20
PAIRS_AT_ONCE = 2
TIMEOUT_S = 60.0
EXAMPLES = 5
_WARM_UP = {"messages": [{"role": "user", "content": "hello"}]}

Ask = Callable[[Recorded], Answered]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay came to; `finding` keeps it."""

    finding: Finding
    verdict: str
    usd: float
    taken_back: str | None


@dataclass(frozen=True, slots=True)
class Named:
    """A release with its name."""

    name: str
    release: Release


def replay(
    project: Project,
    candidate: str,
    *,
    against: str | None,
    route: str | None,
    requests: int,
    act: bool,
    progress: Progress,
) -> Replayed:
    """Replay the newest requests of a route; once the candidate is proven worse it stops and (`act`) takes it back."""
    target = route or project.name
    live = pointer(project.ledger, target)
    other = against or (live.live_release if live else None)
    if other is None:
        raise NotFoundError(f"nothing is live on {target} to compare with", cure="name a release with --against")
    one, two = _named(project, candidate), _named(project, other)
    if one.name == two.name:
        raise InputError(f"release {short(one.name)} would be compared with itself", cure="name another one")
    recorded = recorded_requests(project, target, limit=requests)
    if not recorded:
        raise NotFoundError(
            f"no recorded request on {target} can be asked again",
            cure="send traffic first (`flyball requests` shows it); erased and expired texts are gone for good",
        )
    comparison, usd = _compare(project, one, two, recorded, progress)
    finding = finding_of(project, target, (one.name, two.name), comparison, recorded)
    project.ledger.append(finding)
    taken_back = _take_back(project, target, one.name, finding) if act and comparison.verdict == "worse" else None
    return Replayed(finding=finding, verdict=comparison.verdict, usd=usd, taken_back=taken_back)


def _named(project: Project, name: str) -> Named:
    stored = project.ledger.get(name)
    if not isinstance(stored.record, Release):
        raise InputError(f"{name} is a {type(stored.record).__name__}, not a release", cure="see `flyball models`")
    return Named(stored.id, stored.record)


def _compare(
    project: Project, one: Named, two: Named, recorded: Sequence[Recorded], progress: Progress
) -> tuple[Comparison, float]:
    """Both answer, cluster by cluster in a random order, until all were asked or harm is proven; what it cost."""
    rollout = project.settings.rollout
    comparison = Comparison(margin=rollout.margin, alpha=rollout.alpha)
    by_id = {each.id: each for each in recorded}
    clusters = clustered(
        ((each.cluster, each.id) for each in recorded), partial(place, one.name), most=MOST_PER_CLUSTER
    )
    progress("starting the engines", 0, 0)
    try:
        with ExitStack() as stack:
            asks = [stack.enter_context(asking(project, each)) for each in (one, two)]
            work = [[by_id[name] for name in names] for names in clusters.values()]
            total = sum(map(len, work))
            for pairs in in_pairs(asks[0], asks[1], work):
                comparison.take(pairs)
                progress("asking both releases", len(comparison.pairs), total)
                if comparison.proven_worse:
                    break
    finally:
        usd = sum(pair.candidate.usd + pair.live.usd for pair in comparison.pairs)
        if comparison.pairs:
            charge(project.ledger, kind="replay", subject=one.name, usd=usd, quantity=float(len(comparison.pairs)))
    return comparison, usd


@contextmanager
def asking(project: Project, named: Named) -> Iterator[Ask]:
    """Ask a release: in its engine of `flyball up` where one is ready, else in one that ends with the block."""
    with _engine(project, named) as url:
        terms = EngineTerms(project)
        completer = HttpCompleter(
            url,
            release=named.release,
            model=project.name,
            way=terms.way(named.name, named.release),
            timeout_s=TIMEOUT_S,
        )
        ask = partial(_ask, completer, project.settings.cost, terms.of(named.name, named.release).usd_per_million)
        ask(Recorded(id="", seq=0, cluster="", body=_WARM_UP, truth=None))
        try:
            yield ask
        finally:
            completer.close()


@contextmanager
def _engine(project: Project, named: Named) -> Iterator[str]:
    running = (one for one in running_engines(project.places.run) if one.release == named.name and one.ready)
    if (handle := next(running, None)) is not None:
        yield handle.url
        return
    if is_elsewhere(named.release):
        yield kind_of(named.release).server(named.release.engine).url
        return
    release, artifact = named.release, project.artifacts.path(named.release.model)
    adapter = project.artifacts.path(release.adapter) if release.adapter else None
    require_memory(release, artifact, adapter=adapter)
    with engine_process(
        release,
        artifact,
        release_name=named.name,
        timeout_s=project.settings.rollout.ready_timeout_s,
        adapter=adapter,
        config=project.settings.serving,
        log_dir=project.places.logs,
        behind=EngineTerms(project).behind(named.name, release),
    ) as url:
        yield url


def _ask(completer: HttpCompleter, cost: CostConfig, own: UsdPerMillion | None, recorded: Recorded) -> Answered:
    try:
        answer = completer.complete(recorded.body)
    except FlyballError:  # it failed, or would not: text None says so
        return Answered(text=None, total_ms=0.0, usd=0.0, right=None if recorded.truth is None else False)
    right = None if recorded.truth is None else answer.text.split() == recorded.truth.split()
    usd = request_usd(cost, prompt_tokens=answer.prompt_tokens, completion_tokens=answer.completion_tokens, own=own)
    return Answered(text=answer.text, total_ms=answer.total_ms, usd=usd, right=right)


def in_pairs(candidate: Ask, live: Ask, clusters: Sequence[Sequence[Recorded]]) -> Iterator[list[Pair]]:
    """The pairs of each cluster in turn; who is asked first is a coin's choice. Closing it asks nothing more."""
    with ThreadPoolExecutor(PAIRS_AT_ONCE) as pool:
        try:
            for cluster in clusters:
                yield list(pool.map(partial(_pair, candidate, live), cluster))
        finally:
            pool.shutdown(cancel_futures=True)


def _pair(candidate: Ask, live: Ask, recorded: Recorded) -> Pair:
    if random.random() < 0.5:
        one, two = candidate(recorded), live(recorded)
    else:
        two, one = live(recorded), candidate(recorded)
    return Pair(request=recorded.id, cluster=recorded.cluster, candidate=one, live=two)


def finding_of(
    project: Project, route: str, names: tuple[str, str], comparison: Comparison, recorded: Sequence[Recorded]
) -> Finding:
    """The result as it is kept: about the candidate, with all figures and the requests where it did worse."""
    candidate, live = names
    worse = comparison.proven_worse
    figures = comparison.figures()
    measure = (worse or ["quality" if "quality" in comparison.measured else "failures"])[0]
    shown = figures["measures"].get(measure, {})
    return Finding(
        id=uuid7(),
        project=project.name,
        kind="health",
        severity="critical" if worse else "info",
        route=route,
        release=candidate,
        measure=f"replay:{measure}",
        value=float(shown.get("difference") or 0.0),
        reference=0.0,
        evidence={"against": live, "verdict": comparison.verdict, **figures},
        first_seq=min(one.seq for one in recorded),
        last_seq=max(one.seq for one in recorded),
        examples=tuple(pair.request for pair in comparison.pairs if pair.lost)[:EXAMPLES],
        explanation=explained(candidate, live, comparison),
    )


def explained(candidate: str, live: str, comparison: Comparison) -> str:
    """The verdict in a sentence."""
    pairs, clusters = len(comparison.pairs), comparison.clusters
    asked = f"{pairs} recorded requests of {clusters} conversations or units, answered again by {short(candidate)} and "
    asked += f"{short(live)}: "
    match comparison.verdict:
        case "worse":
            return f"{asked}the candidate is worse in {', '.join(comparison.proven_worse)}."
        case "not_worse":
            return f"{asked}the candidate is within the margin; only judged answers of a canary can promote it."
    told = "" if "quality" in comparison.measured else "; for none of them is the right answer known (`flyball judge`)"
    return f"{asked}nothing is proven{told}."


def _take_back(project: Project, route: str, candidate: str, finding: Finding) -> str | None:
    """Roll back the candidate's deployment where it is under way or live; its id."""
    found = _standing(project, route, candidate)
    if found is None:
        return None
    reason = f"paired replay: {finding.explanation}"
    transition = rollback(project.ledger, route, requested_by=f"replay {finding.id}", reason=reason)
    details = {"route": route, "finding": finding.id}
    audit.record(
        project.ledger, actor="local", action="replay.rollback", subject=transition.deployment, details=details
    )
    return transition.deployment


def _standing(project: Project, route: str, candidate: str) -> Deployment | None:
    """The candidate's deployment that a rollback of its route would take back."""
    live = pointer(project.ledger, route)
    for stored in project.ledger.find(Deployment, limit=50):
        record = stored.record
        if not isinstance(record, Deployment) or record.route != route:
            continue
        steps = history(project.ledger, record.id)
        state = steps[-1][0].state if steps else "requested"
        if state not in ENDED and state != "live":
            return record if record.release == candidate else None
        if live is not None and record.id == live.live_deployment:
            return record if record.release == candidate else None
    return None
