"""A project whose releases are real (a tiny model in a real engine), and a control process driven pass by pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flyball.control.context import ControlContext
from flyball.control.reconciler import step
from flyball.monitoring.config import MonitorConfig
from flyball.records import Deployment, GateDecision, ModelVersion, Verdict, name_of
from flyball.rollout.config import RolloutConfig
from flyball.rollout.deployments import request_deployment
from flyball.serving.config import ServingConfig
from flyball.serving.engine_processes import running_engines, stop_engine
from flyball.storage.artifacts import ArtifactStore, file_refs
from flyball.storage.deployments import history, pointer
from flyball.storage.ledger import Ledger
from flyball.storage.routing import RoutingTable, load
from tiny_gguf import tiny_release, write_tiny_gguf

ROLLOUT = RolloutConfig(
    scale_down_delay_s=60.0,
    ready_timeout_s=20.0,
    judge_after_s=0.0,
    judge_within_s=1.0,
    judge_share=1.0,
    min_units=10,
)


def decision_for(release: str, *, verdict: Verdict = "pass", baseline: str | None = None) -> GateDecision:
    """A decision of a gate that compares with nothing."""
    return GateDecision(
        project="shop",
        release=release,
        report="e" * 64,
        baseline_release=baseline,
        baseline_report=None,
        policy={"rules": [{"measure": "exact_match", "at_least": 0.6}]},
        alpha=0.05,
        checks=(),
        verdict=verdict,
    )


@dataclass
class Shop:
    """One project on one machine."""

    ledger: Ledger
    root: Path
    made: list[ControlContext] = field(default_factory=list)

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(self.root / "artifacts")

    def control(self, *, holder: str = "here", rollout: RolloutConfig = ROLLOUT, **serving: object) -> ControlContext:
        """A control process (a new one has a new memory)."""
        context = ControlContext(
            ledger=self.ledger,
            project="shop",
            rollout=rollout,
            serving=ServingConfig(liveness_s=0.1, **serving),  # type: ignore[arg-type]
            monitor=MonitorConfig(),
            artifacts=self.store,
            run_dir=self.root / "run",
            log_dir=self.root / "logs",
            routes_path=self.root / "run" / "routes.json",
            holder=holder,
        )
        self.made.append(context)
        return context

    def release(self, prompt: str, *, corrupt: bool = False, gate: Verdict | None = "pass", **engine: object) -> str:
        """A release of the tiny model that differs by its system prompt, admitted by a gate."""
        folder = self.root / f"model-{'bad' if corrupt else 'good'}"
        if not folder.exists():
            folder.mkdir(parents=True)
            path = write_tiny_gguf(folder / "model.gguf", seed=int(corrupt))
            if corrupt:
                path.write_bytes(path.read_bytes()[:50_000])
        release = tiny_release(system_prompt=prompt, model=self.take_in(folder), **engine)
        self.ledger.append(release)
        if gate:
            self.ledger.append(decision_for(name_of(release), verdict=gate))
        return name_of(release)

    def take_in(self, folder: Path, form: str = "gguf") -> str:
        """A model or an adapter in ledger and store."""
        files = file_refs(folder)
        model = ModelVersion(
            project="shop",
            training_run=None,
            dataset=None,
            architecture="llama",
            parameters=28_000,
            context_length=256,
            formats=(form,),
            files=files,
            chat_template="",
        )
        self.ledger.append(model)
        self.store.put(name_of(model), folder, files)
        return name_of(model)

    def deploy(self, release: str, strategy: str = "blue-green", **plan: object) -> Deployment:
        return request_deployment(
            self.ledger,
            project="shop",
            route="shop",
            release=release,
            strategy=strategy,  # type: ignore[arg-type]
            plan=plan,
            requested_by="local",
            reason="a test",
        )

    def states(self, deployment: Deployment) -> list[str]:
        return [transition.state for transition, _ in history(self.ledger, deployment.id)]

    def live(self) -> str | None:
        found = pointer(self.ledger, "shop")
        return found.live_release if found else None

    @property
    def routes(self) -> RoutingTable:
        return load(self.root / "run" / "routes.json")

    def arms(self) -> dict[str, tuple[str, float, int]]:
        """variant → (release, weight, endpoints) of the route."""
        try:
            (route,) = self.routes.routes
        except (FileNotFoundError, ValueError):
            return {"live": ("", 0.0, 0)}  # nothing published yet
        return {arm.variant: (arm.release, arm.weight, len(arm.endpoints)) for arm in route.arms}


def passes(context: ControlContext, until: Callable[[], bool], *, seconds: float = 20.0) -> float:
    """Pass after pass until something holds; the seconds it took."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds, "it never came"
        step(context)
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture
def shop(ledger: Ledger, tmp_path: Path) -> Iterator[Shop]:
    made = Shop(ledger=ledger, root=tmp_path / "shop")
    yield made
    for context in made.made:
        context.background.join(10)
    for handle in running_engines(made.root / "run"):
        stop_engine(handle, grace_s=0.2)
