"""What a route's deployments must look like after each act: the rollout's promises as a small model in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from flyball.records import Deployment, DeploymentState
from flyball.rollout.state_machine import ENDED

Step = tuple[DeploymentState, int]


@dataclass
class Model:
    """Deployments in the order in which they were asked for, their steps, and where the route points."""

    deployments: dict[str, Deployment] = field(default_factory=dict)
    steps: dict[str, list[Step]] = field(default_factory=dict)
    live: str | None = None

    def state(self, name: str) -> DeploymentState:
        return self.steps[name][-1][0]

    def copy(self) -> Model:
        steps = {name: list(steps) for name, steps in self.steps.items()}
        return Model(dict(self.deployments), steps, self.live)

    # what control looks at --------------------------------------------------------------------------------------

    @property
    def hot(self) -> list[str]:
        """Deployments that are live or stay hot behind the live one."""
        return [name for name in self.deployments if self.state(name) == "live"]

    @property
    def under_way(self) -> list[str]:
        return [name for name in self.deployments if self.state(name) not in {*ENDED, "live"}]

    @property
    def live_release(self) -> str | None:
        return self.deployments[self.live].release if self.live else None

    def wanted(self) -> set[str]:
        """The releases whose engines must run: admitted, and not over."""
        names = [*self.hot, *(name for name in self.under_way if self.state(name) != "requested")]
        return {self.deployments[name].release for name in names}

    # what may happen ---------------------------------------------------------------------------------------------

    def moved(self, name: str, state: DeploymentState, step: int) -> None:
        """A step that was stored, and its effect on the route."""
        self.steps[name].append((state, step))
        if state == "live":
            self.live = name
        if state == "rolled_back" and self.live == name and self.deployments[name].replaces:
            self.live = self.deployments[name].replaces

    def asked(self, deployment: Deployment) -> None:
        self.deployments[deployment.id] = deployment
        self.steps[deployment.id] = [("requested", 0)]

    def may_ask(self, release: str) -> bool:
        """Whether a new deployment comes of it: nothing is under way, and it is not live already."""
        return not self.under_way and self.live_release != release

    def target(self) -> str | None:
        """The nearest release before the live one that was good."""
        name = self.deployments[self.live].replaces if self.live else None
        while name is not None and self.state(name) not in ("live", "retired"):
            name = self.deployments[name].replaces
        return name


def is_prefix(before: Sequence[Step], after: Sequence[Step]) -> bool:
    """Whether a history has only been added to."""
    return list(after[: len(before)]) == list(before)
