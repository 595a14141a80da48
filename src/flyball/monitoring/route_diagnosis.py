"""Why nothing answers on a route, and the command that changes that. I/O: reads the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from flyball.monitoring.gate_cures import gate_cure
from flyball.records import Check, DatasetVersion, Deployment, GateDecision, Release
from flyball.records.identity import short
from flyball.storage.deployments import history, pointer, routes
from flyball.storage.ledger import Ledger, Stored

LOOKED_AT = 200
UNDER_WAY = ("requested", "starting", "ramping", "paused")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDiagnosis:
    """What is missing, what to do, and what is known besides: an engine's words, which are not for clients.

    `soon`: nothing need be done but wait, where `flyball up` runs.
    """

    what: str
    cure: str
    detail: str = ""
    soon: bool = False

    def __str__(self) -> str:
        return f"{self.what}: {self.cure}"


def nothing_serves(ledger: Ledger, project: str) -> RouteDiagnosis | None:
    """Why a project serves nothing at all, told of its own route; None where any route has something live."""
    others = [route for route in routes(ledger) if route != project]
    if any((found := pointer(ledger, route)) is not None and found.live_release is not None for route in others):
        return None
    return missing_on(ledger, project)


def missing_on(ledger: Ledger, route: str) -> RouteDiagnosis | None:
    """Why a route has nothing live; None where something is."""
    found = pointer(ledger, route)
    if found is not None and found.live_release is not None:
        return None
    release = next(iter(ledger.find(Release, limit=1)), None)
    deployment = _newest_deployment(ledger, route)
    if deployment is not None:
        told = _of_deployment(ledger, deployment)
        if told is not None and (
            release is None or _release_of(deployment) == release.id or _is_open(ledger, deployment)
        ):
            return told
    if release is None:
        return _unbuilt(ledger)
    return _of_release(ledger, release.id)


def _unbuilt(ledger: Ledger) -> RouteDiagnosis:
    if ledger.find(DatasetVersion, limit=1):
        return RouteDiagnosis(what="the build has not come to a release yet", cure="`flyball run` goes on with it")
    return RouteDiagnosis(what="nothing was built yet", cure="`flyball run` builds, gates and deploys a release")


def _of_release(ledger: Ledger, release: str) -> RouteDiagnosis:
    """Of a release that was built and is not on the route."""
    decisions = [stored.record for stored in ledger.find(GateDecision, limit=LOOKED_AT)]
    decision = next((one for one in decisions if isinstance(one, GateDecision) and one.release == release), None)
    name = short(release)
    if decision is None:
        return RouteDiagnosis(what=f"release {name} was built but not gated", cure="`flyball run` gates and deploys it")
    if decision.verdict == "pass":
        return RouteDiagnosis(
            what=f"release {name} passed the gate but is not deployed", cure=f"`flyball deploy {name}`"
        )
    why = next((_in_words(check) for check in decision.checks if check.verdict == decision.verdict), "")
    because = f" ({why})" if why else ""
    cure = gate_cure(decision)
    if decision.verdict == "fail":
        return RouteDiagnosis(what=f"release {name} failed the gate{because}", cure=cure)
    return RouteDiagnosis(what=f"the gate was inconclusive on release {name}{because}", cure=cure)


def _in_words(check: Check) -> str:
    value = "" if check.value is None else f", value {check.value:.4g}"
    bound = "" if check.bound is None else f", bound {check.bound:.4g}"
    rule = check.rule.replace("_", " ")
    return f"{check.measure} on {check.suite} {rule} {check.threshold:g}{value}{bound}, n {check.n}"


def _of_deployment(ledger: Ledger, deployment: Stored) -> RouteDiagnosis | None:
    steps = history(ledger, deployment.id)
    state = steps[-1][0].state if steps else "requested"
    reason = str(steps[-1][0].evidence.get("reason") or "") if steps else ""
    name = short(_release_of(deployment))
    if state == "requested":
        what = f"release {name} waits to be started"
        return RouteDiagnosis(what=what, cure="that takes a moment where `flyball up` runs", soon=True)
    if state in ("starting", "ramping"):
        what = f"release {name} is being started"
        return RouteDiagnosis(what=what, cure="ask again in a moment", detail=reason, soon=True)
    if state == "paused":
        return RouteDiagnosis(what=f"the deployment of {name} is paused", cure="`flyball resume`", detail=reason)
    if state in ("failed", "rolled_back"):
        cure = f"`flyball status` says why; then `flyball deploy {name}`"
        return RouteDiagnosis(
            what=f"the deployment of release {name} {state.replace('_', ' ')}", cure=cure, detail=reason
        )
    return None


def _newest_deployment(ledger: Ledger, route: str) -> Stored | None:
    found = ledger.find(Deployment, limit=LOOKED_AT)
    return next((one for one in found if isinstance(one.record, Deployment) and one.record.route == route), None)


def _is_open(ledger: Ledger, deployment: Stored) -> bool:
    steps = history(ledger, deployment.id)
    return not steps or steps[-1][0].state in UNDER_WAY


def _release_of(deployment: Stored) -> str:
    assert isinstance(deployment.record, Deployment)
    return deployment.record.release
