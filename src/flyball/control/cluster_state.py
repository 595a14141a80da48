"""The deployments that matter and where the routes point, as one pass of control sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flyball.records import Deployment, Release, Transition
from flyball.rollout.state_machine import History
from flyball.storage.deployments import Pointer


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStanding:
    """One deployment that still matters: under way, live, or hot behind the live one."""

    deployment: Deployment
    release: Release
    history: History

    @property
    def last(self) -> Transition | None:
        """Its last transition."""
        return self.history[-1][0] if self.history else None

    @property
    def state(self) -> str:
        """The state it is in."""
        return self.last.state if self.last else "requested"

    @property
    def wants_engines(self) -> bool:
        """Whether it is admitted and not over."""
        return self.state in ("starting", "ramping", "paused", "live")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """All deployments that matter and where the routes point."""

    standings: tuple[ReleaseStanding, ...]
    pointers: Mapping[str, Pointer]

    def is_live(self, standing: ReleaseStanding) -> bool:
        """Whether its route points at it."""
        found = self.pointers.get(standing.deployment.route)
        return found is not None and found.live_deployment == standing.deployment.id

    def named(self, deployment: str | None) -> ReleaseStanding | None:
        """The standing of a deployment; None when it is over."""
        return next((one for one in self.standings if one.deployment.id == deployment), None)
