"""What a control process is given (built by wiring), and what it remembers between two passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from flyball.control.background_tasks import Background, PeriodicJob
from flyball.control.cluster_state import ClusterState
from flyball.control.finding_counts import FindingCounts
from flyball.engines.catalog import is_elsewhere, stands_before_server
from flyball.monitoring.config import MonitorConfig
from flyball.records import JSON, Finding, Proposal, Record, Release
from flyball.rollout.analysis import Analysis
from flyball.rollout.config import RolloutConfig
from flyball.serving.config import ServingConfig
from flyball.serving.load import Load
from flyball.serving.terms import ServerAccess, Terms, terms_of
from flyball.storage.artifacts import ArtifactStore
from flyball.storage.hosts import ReleaseState
from flyball.storage.leases import Lease
from flyball.storage.ledger import Ledger
from flyball.storage.routing import RoutingTable, Stamp


@dataclass
class EngineMemory:
    """What was seen of each engine, by its id; moments are of the monotonic clock."""

    known: dict[str, str] = field(default_factory=dict)  # seen alive: id → release
    calm_since: dict[str, float] = field(default_factory=dict)  # since when it has been ready
    silent: dict[str, int] = field(default_factory=dict)  # looks in a row that it did not answer
    busy_since: dict[str, float] = field(default_factory=dict)  # since when it works without a sign of life
    loads: dict[str, Load] = field(default_factory=dict)  # what it said last
    looked: dict[str, float] = field(default_factory=dict)  # when its last look was asked for
    stopping: dict[str, float] = field(default_factory=dict)  # since when it is not wanted
    ended: dict[str, float] = field(default_factory=dict)  # when it was asked to end

    def forget(self, engine: str) -> None:
        """Drop what was noted of an engine that is gone."""
        for noted in (self.calm_since, self.looked, self.stopping, self.busy_since, self.silent, self.loads):
            noted.pop(engine, None)


@dataclass
class ReleaseMemory:
    """What was seen of the engines of each release, by its fingerprint."""

    problems: dict[str, str] = field(default_factory=dict)  # what its engines said last
    answered: set[str] = field(default_factory=set)  # an engine has been ready
    elsewhere_ready: set[str] = field(default_factory=set)  # a server elsewhere, and it answered
    hopeless: set[str] = field(default_factory=set)  # no restart can help


@dataclass
class RouteMemory:
    """The table that gateways follow, as this process read or wrote it last."""

    table: RoutingTable | None = None
    stamp: Stamp | None = None  # of the file that holds the table
    missing: dict[str, tuple[str, float]] = field(default_factory=dict)  # route → why nothing is live there, and when


@dataclass
class HostMemory:
    """What this host said of its engines last, and when."""

    told: Mapping[str, ReleaseState] | None = None
    told_at: float = -math.inf


@dataclass
class Memory:
    """What a pass leaves for the next; all of it can be lost, since the ledger and the engines' files are the truth."""

    lease: Lease | None = None
    lease_renewed: float = 0.0
    world: ClusterState | None = None  # what the ledger said last: engines are kept by it while the ledger is away
    world_read: float = 0.0
    engines: EngineMemory = field(default_factory=EngineMemory)
    releases: ReleaseMemory = field(default_factory=ReleaseMemory)
    routes: RouteMemory = field(default_factory=RouteMemory)
    host: HostMemory = field(default_factory=HostMemory)
    analyses: dict[str, Analysis] = field(default_factory=dict)
    shown: dict[str, tuple[Mapping[str, JSON], float]] = field(default_factory=dict)  # figures kept last, and when
    records: dict[str, Record | None] = field(default_factory=dict)  # releases and models, which never change
    monitoring: PeriodicJob = field(default_factory=lambda: PeriodicJob("monitoring"))
    retention: PeriodicJob = field(default_factory=lambda: PeriodicJob("retention"))
    judging: PeriodicJob = field(default_factory=lambda: PeriodicJob("judging"))
    notices: PeriodicJob = field(default_factory=lambda: PeriodicJob("notices"))
    traces: PeriodicJob = field(default_factory=lambda: PeriodicJob("traces"))
    findings: FindingCounts = field(default_factory=FindingCounts)
    metrics: PeriodicJob = field(default_factory=lambda: PeriodicJob("metrics"))


@dataclass(kw_only=True)
class ControlContext:
    """One control process.

    `holder` names this control process to the lease: the same after a restart, so that it takes over at once (such as
    the host's name and the project's folder); different on another host. The callables close the loop without control
    importing what they need: `terms(name, release)` says which key and prices count for a release now; `watch(route,
    live release)` runs the monitors, `propose(route, findings)` makes of them a proposal, `retention(now_ms)` lets go
    what is too old, `judge()` has sampled answers judged, `notify()` tells people what is new, `export()` sends
    traces of requests; what listens is told of findings and proposals.
    """

    ledger: Ledger
    project: str
    rollout: RolloutConfig
    serving: ServingConfig
    monitor: MonitorConfig
    artifacts: ArtifactStore
    run_dir: Path
    log_dir: Path
    routes_path: Path
    holder: str
    segments_dir: Path | None = None  # of this host's gateway
    watch: Callable[[str, str], Sequence[Finding]] | None = None
    propose: Callable[[str, Sequence[Finding]], Proposal | None] | None = None
    retention: Callable[[int], object] | None = None
    judge: Callable[[], object] | None = None
    notify: Callable[[], object] | None = None
    notify_every_s: float = 30.0
    export: Callable[[], object] | None = None
    export_every_s: float = 5.0
    secrets: Callable[[str], str] | None = None  # turns a reference such as env:NAME into the secret
    proxy_for: Callable[[str], str | None] | None = None  # the environment's proxy for a URL
    home: str = ""  # where file: of a reference begins
    terms: Callable[[str, Release], Terms] = lambda _name, release: terms_of(release, recorded={}, settings=None)
    on_findings: tuple[Callable[[Sequence[Finding]], None], ...] = ()
    on_proposal: tuple[Callable[[Proposal], None], ...] = ()
    signers: tuple[Path, ...] = ()  # public keys: one of them must have signed what an engine loads
    drain_s: float = 300.0  # longest wait for requests in work before an unwanted engine is killed
    lease_ttl_s: float = 5.0
    memory: Memory = field(default_factory=Memory)
    background: Background = field(default_factory=Background)

    def way(self, name: str, release: Release) -> ServerAccess | None:
        """How the server of a release is reached; None for an engine of ours."""
        if not is_elsewhere(release):
            return None
        return self.terms(name, release).way(self.secrets, self.proxy_for)

    def behind(self, name: str, release: Release) -> ServerAccess | None:
        """How the server is reached that the release's engine stands before; None for an engine of ours alone."""
        if not stands_before_server(release):
            return None
        return replace(self.terms(name, release).way(self.secrets, self.proxy_for), home=self.home)

    @property
    def lease_name(self) -> str:
        """One control process acts for one project."""
        return f"control:{self.project}"
