"""A real project for the benchmarks of the serve plane: no training, a tiny model in a real engine, `flyball up`.

I/O: writes a project folder, starts and ends `flyball up`. Releases differ by their system prompt; a gate's decision
for each is put into the ledger, since nothing here is about quality.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from flyball.records import Deployment, GateDecision, ModelVersion, Release, name_of
from flyball.rollout.deployments import request_deployment
from flyball.security.keys import create_project_key
from flyball.serving import engine_files
from flyball.serving.processes import is_running
from flyball.storage.artifacts import file_refs
from flyball.storage.deployments import pointer
from flyball.supervision.run_file import RunFile, read_note
from flyball.wiring import Project, open_project

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))  # the tests' tiny model is the benchmarks' too

from tiny_gguf import tiny_release, write_tiny_gguf

FLYBALL = [sys.executable, "-m", "flyball"]
NAME = "shop"


def make_project(root: Path, *, ledger_url: str | None = None, **sections: dict[str, Any]) -> Project:
    """A new project folder with these sections of flyball.yaml, opened."""
    root.mkdir(parents=True)
    document: dict[str, Any] = {
        "version": 1,
        "project": NAME,
        "task": "chat",
        "data": {"sources": [{"path": "rows.jsonl"}]},
        **sections,
    }
    if ledger_url:
        document["ledger"] = {"url": ledger_url}
    (root / "flyball.yaml").write_text(yaml.safe_dump(document))
    key = root / ".flyball/keys/project.key"
    key.parent.mkdir(parents=True)
    create_project_key(key)
    return open_project(root)


def add_release(project: Project, prompt: str, *, corrupt: bool = False, url: str = "", slots: int = 8) -> str:
    """A release of the tiny model, admitted by a gate; with `url` one that is answered by the server there."""
    model = _model(project, corrupt=corrupt)
    engine: dict[str, Any] = {"kind": "openai", "flags": {"url": url}} if url else {}
    made = tiny_release(project=NAME, slots=slots, system_prompt=prompt, model=model, **engine)
    project.ledger.append(made)
    project.ledger.append(_decision(name_of(made)))
    return name_of(made)


def _model(project: Project, *, corrupt: bool) -> str:
    folder = project.root / ("model-corrupt" if corrupt else "model")
    if not folder.exists():
        folder.mkdir()
        path = write_tiny_gguf(folder / "model.gguf", seed=int(corrupt))
        if corrupt:
            path.write_bytes(path.read_bytes()[:50_000])
    files = file_refs(folder)
    record = ModelVersion(
        project=NAME,
        training_run=None,
        dataset=None,
        architecture="llama",
        parameters=28_000,
        context_length=256,
        formats=("gguf",),
        files=files,
        chat_template="",
    )
    project.ledger.append(record)
    project.artifacts.put(name_of(record), folder, files)
    return name_of(record)


def _decision(release: str) -> GateDecision:
    return GateDecision(
        project=NAME,
        release=release,
        report="e" * 64,
        baseline_release=None,
        baseline_report=None,
        policy={"rules": [{"measure": "exact_match", "at_least": 0.6}]},
        alpha=0.05,
        checks=(),
        verdict="pass",
    )


@dataclass
class Served:
    """`flyball up` of a project, for as long as the block lasts."""

    project: Project
    up: subprocess.Popen[bytes] | None = None
    url: str = ""

    def __enter__(self) -> Served:
        with (self.project.root / "up.log").open("ab") as log:
            self.up = subprocess.Popen(
                [*FLYBALL, "up", "--port", "0", "--console-port", "0", "--json"],
                cwd=self.project.root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.up.stdout is not None
        line = self.up.stdout.readline()
        if not line:
            raise RuntimeError((self.project.root / "up.log").read_text())
        self.url = json.loads(line)["gateway"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self.up is not None and self.up.stdout is not None
        if self.up.poll() is None:
            self.up.send_signal(signal.SIGINT)
            try:
                self.up.wait(60)
            except subprocess.TimeoutExpired:
                self.up.kill()
                self.up.wait()
        self.up.stdout.close()
        for engine in self.engines():  # only where `up` itself was killed
            if is_running(engine.pid, engine.started):
                os.kill(engine.pid, signal.SIGKILL)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def compiled(self) -> bool:
        """Whether a compiled gateway answers. `up` runs in the project's folder: PYTHONPATH must be absolute."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:
            return b'compiled="yes"' in answer.read()

    @property
    def note(self) -> RunFile:
        """What `up` says of its processes now."""
        note = read_note(self.project.places.run)
        if note is None:
            raise RuntimeError("`flyball up` is gone: " + (self.project.root / "up.log").read_text()[-2000:])
        return note

    def engines(self, *, ready: bool = False) -> list[engine_files.EngineFile]:
        """Engines that run, or those of them that answer."""
        found = [one for one in engine_files.read_all(self.project.places.run).values() if one is not None]
        return [one for one in found if is_running(one.pid, one.started) and (one.ready or not ready)]

    def deploy(self, release: str, *, strategy: str = "blue-green", **plan: Any) -> Deployment:
        """Ask for a deployment, as `flyball deploy` does."""
        return request_deployment(
            self.project.ledger,
            project=NAME,
            route=NAME,
            release=release,
            strategy=strategy,  # type: ignore[arg-type]
            plan=plan,
            requested_by="local",
            reason="a benchmark",
        )

    @property
    def live(self) -> str | None:
        found = pointer(self.project.ledger, NAME)
        return found.live_release if found else None

    def go_live(self, release: str) -> None:
        """Deploy the first release and wait until every replica answers through the gateway's table."""
        self.deploy(release)
        until(lambda: self.live == release, what="the first release is live")
        replicas = self.project.settings.serving.replicas
        until(lambda: len(self.endpoints()) >= replicas, what=f"{replicas} engines are in the routing table")
        until(lambda: all(self.ready() for _ in range(20)), what="every worker follows the routing table")

    def ready(self) -> bool:
        """What one of the workers, whichever gets the connection, says of itself."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def endpoints(self) -> list[str]:
        """Endpoint ids of the live arm, as gateways read them."""
        try:
            table = msgspec.json.decode(self.project.places.routes.read_bytes())
        except FileNotFoundError:
            return []
        arms = [arm for route in table["routes"] for arm in route["arms"] if arm["variant"] == "live"]
        return [point["id"] for arm in arms for point in arm["endpoints"]]


def flyball(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command in the project's folder, with --json."""
    return subprocess.run(
        [*FLYBALL, *arguments, "--json"],
        cwd=project.root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )


def until(condition: Callable[[], Any], *, what: str, timeout_s: float = 60.0) -> Any:
    """What `condition` gives once it holds; TimeoutError names what never came."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"within {timeout_s:g} s it did not come about that {what}")
        time.sleep(0.05)
    return found


def release_of(project: Project, name: str) -> Release:
    """The record behind a release's name."""
    record = project.ledger.get(name).record
    assert isinstance(record, Release)
    return record
