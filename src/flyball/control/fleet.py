"""Keep as many engines as are wanted: adopt, start, probe, restart with growing pauses, drain, end. I/O: processes.

What is wanted follows from the ledger alone and what runs from the engines' own files, so a pass after any crash goes
on where the last one stopped.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from flyball.control.context import ControlContext
from flyball.control.restarts import POLICY, Restarts
from flyball.engines.catalog import is_elsewhere, says_damaged
from flyball.errors import CorruptionError, NotFoundError, RefusedError
from flyball.records import FileRef, Release
from flyball.records.identity import short
from flyball.serving import engine_processes
from flyball.serving.engine_logs import last_lines
from flyball.serving.engine_processes import EngineHandle
from flyball.serving.gpu_room import NoRoom
from flyball.serving.liveness import EngineBusy, look_at
from flyball.serving.processes import age_s, kill_process
from flyball.storage import signatures
from flyball.telemetry import log

ROUTING_LAG_S = 1.0
"""Gateways follow a new table well within this; only then is an engine that left it asked to end."""
SILENT_LOOKS, SILENT_LOOKS_ELSEWHERE = 2, 3
BUSY_LIMIT_S = 120.0
"""An engine that works for so long without a sign of life works at nothing."""
PackagedFiles = Mapping[str, tuple[FileRef, ...]]
"""By the names of artefacts that a release loads, what their files must be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseEngines:
    """One wanted release: its engines, those that are ready, and what went wrong last."""

    alive: tuple[EngineHandle, ...] = ()
    ready: tuple[EngineHandle, ...] = ()
    wanted: int = 1
    answered: bool = False  # an engine was ready while this process looked
    failed: bool = False
    problem: str | None = None

    @property
    def down(self) -> str | None:
        """Why no engine answers any more; None while one does, and where none has answered yet."""
        return None if self.ready or not self.answered else (self.problem or "its engine does not answer")


class Fleet:
    """The engines on this machine during one pass."""

    def __init__(self, context: ControlContext) -> None:
        self.context, self.memory = context, context.memory
        self.restarts = Restarts(context.run_dir / "restarts.json")
        self.alive: dict[str, list[EngineHandle]] = defaultdict(list)

    def look(self, wanted: Mapping[str, Release]) -> dict[str, ReleaseEngines]:
        """What runs of the releases that are wanted; notices who died and who became ready."""
        for handle in engine_processes.running_engines(self.context.run_dir):
            self.alive[handle.release].append(handle)
        self._bury()
        for name, release in wanted.items():
            if is_elsewhere(release):
                self.alive[name] = [self._handle(name, release, self.context.run_dir)]
            self.alive[name] = [self._probed(handle, release) for handle in self.alive[name]]
        return {name: self._view(name) for name in wanted}

    def _bury(self) -> None:
        """Count engines that were alive at the last pass and are gone, unless they were told to go."""
        alive = {handle.id for handles in self.alive.values() for handle in handles}
        for identifier, release in list(self.memory.engines.known.items()):
            if identifier in alive:
                continue
            del self.memory.engines.known[identifier]
            told = self.memory.engines.ended.pop(identifier, None)
            self.memory.engines.forget(identifier)
            if told is None:
                self._died(release, f"engine {identifier} is gone{self._words(release, identifier)}")
        for handles in self.alive.values():
            for handle in handles:
                self.memory.engines.known[handle.id] = handle.release

    def _died(self, release: str, problem: str) -> None:
        in_row = self.restarts.died(release)
        self.memory.releases.problems[release] = problem
        if says_damaged(problem):
            self.memory.releases.hopeless.add(release)
        log.warning("release %s: %s (death %d in a row)", short(release), problem, in_row)

    def _words(self, release: str, engine: str) -> str:
        return last_lines(self.context.log_dir / f"engine-{short(release)}.log", engine)

    def _probed(self, handle: EngineHandle, release: Release) -> EngineHandle:
        """The handle, ready once a real inference has answered; afterwards looked at now and then."""
        if handle.pid == 0 and handle.release in self.memory.releases.elsewhere_ready:
            handle = replace(handle, ready=True)
        if handle.ready:
            return self._watched(handle, release)
        name = f"probe:{handle.id}"
        outcome = self.context.background.take(name)
        if outcome is not None and outcome.error is None:
            log.info("engine %s of release %s is ready", handle.id, short(handle.release))
            self.memory.releases.elsewhere_ready |= {handle.release} if handle.pid == 0 else set()
            self.memory.engines.calm_since[handle.id] = time.monotonic()
            return engine_processes.mark_ready(handle)
        if outcome is not None:
            problem = getattr(outcome.error, "message", str(outcome.error))
            self.memory.releases.problems[handle.release] = problem
            if handle.pid and age_s(handle.started) > self.context.rollout.ready_timeout_s:
                return self._given_up(handle, f"engine {handle.id} has never answered: {problem}")
        elif handle.url:
            timeout = self.context.rollout.ready_timeout_s
            self.context.background.submit(
                name,
                lambda: engine_processes.probe(
                    handle, release, timeout_s=timeout, way=self.context.way(handle.release, release)
                ),
            )
        return handle

    def _watched(self, handle: EngineHandle, release: Release) -> EngineHandle:
        """A ready engine; one that does not answer its looks is ended, and counts as a death."""
        memory, now, name = self.memory, time.monotonic(), f"look:{handle.id}"
        outcome = self.context.background.take(name)
        if outcome is not None and outcome.error is None:
            memory.engines.silent.pop(handle.id, None)
            memory.engines.busy_since.pop(handle.id, None)
            memory.engines.loads[handle.id] = outcome.value
        elif outcome is not None and isinstance(outcome.error, EngineBusy):
            memory.engines.busy_since.setdefault(handle.id, now)
        elif outcome is not None:
            memory.engines.silent[handle.id] = memory.engines.silent.get(handle.id, 0) + 1
        due = now - memory.engines.looked.get(handle.id, -1e9) >= self.context.serving.liveness_s
        if due and not self.context.background.busy(name):
            memory.engines.looked[handle.id] = now
            self.context.background.submit(name, lambda: look_at(handle, self.context.way(handle.release, release)))
        looks = SILENT_LOOKS if handle.pid else SILENT_LOOKS_ELSEWHERE
        if memory.engines.silent.get(handle.id, 0) >= looks:
            return self._given_up(handle, f"engine {handle.id} has not answered {looks} looks in a row")
        if now - memory.engines.busy_since.get(handle.id, now) > BUSY_LIMIT_S:
            return self._given_up(handle, f"engine {handle.id} works without answering for {BUSY_LIMIT_S:.0f} s")
        if now - memory.engines.calm_since.setdefault(handle.id, now) > POLICY.calm_s:
            self.restarts.calm(handle.release)
        return handle

    def _given_up(self, handle: EngineHandle, problem: str) -> EngineHandle:
        self.memory.engines.forget(handle.id)
        self.memory.releases.elsewhere_ready.discard(handle.release)
        self._died(handle.release, problem)
        if handle.pid:
            self.memory.engines.ended[handle.id] = time.monotonic()
            kill_process(handle.pid, handle.started)
        return replace(handle, ready=False)

    def _view(self, name: str) -> ReleaseEngines:
        alive = tuple(self.alive[name])
        ready = tuple(handle for handle in alive if handle.ready and handle.id not in self.memory.engines.ended)
        if ready:
            self.memory.releases.answered.add(name)
        crashed = self.restarts.in_row(name) > self.context.serving.max_restarts
        return ReleaseEngines(
            alive=alive,
            ready=ready,
            answered=name in self.memory.releases.answered,
            wanted=self.context.serving.replicas,
            failed=crashed or name in self.memory.releases.hopeless,
            problem=self.memory.releases.problems.get(name),
        )

    def keep(
        self,
        wanted: Mapping[str, Release],
        files: Mapping[str, PackagedFiles],
        first: Mapping[str, set[str]] = MappingProxyType({}),
        room: Mapping[str, Callable[[int], None]] = MappingProxyType({}),
    ) -> None:
        """Start what is missing and end what is not wanted any more.

        `first`: what is gone before a release starts. `room`: asks whether so many engines of a release fit here.
        """
        for name, release in wanted.items():
            if not is_elsewhere(release) and not any(self.alive.get(other) for other in first.get(name, ())):
                self._start_missing(name, release, files.get(name, {}), room.get(name))
        self.memory.releases.answered &= set(wanted)
        for name in (set(self.memory.releases.problems) | self.memory.releases.hopeless) - set(wanted):
            self.memory.releases.problems.pop(name, None)
            self.memory.releases.hopeless.discard(name)
            self.restarts.calm(name)  # asked for again, it starts from nothing
        surplus = [
            handle
            for name, handles in self.alive.items()
            for handle in (handles[self.context.serving.replicas :] if name in wanted else handles)
        ]
        self._drain(surplus)
        kept = {handle.id for handles in self.alive.values() for handle in handles} - {one.id for one in surplus}
        for identifier in kept:
            if identifier not in self.memory.engines.ended:
                self.memory.engines.stopping.pop(identifier, None)

    def _start_missing(
        self, name: str, release: Release, files: PackagedFiles, room: Callable[[int], None] | None
    ) -> None:
        starting = f"start:{name}"
        outcome = self.context.background.take(starting)
        if outcome is not None and outcome.error is not None:
            self._died(name, str(outcome.error))
            if isinstance(outcome.error, CorruptionError | NotFoundError | NoRoom | RefusedError):
                self.memory.releases.hopeless.add(name)
        elif outcome is not None:
            self.memory.engines.known[outcome.value.id] = name
        missing = self.context.serving.replicas - len(self.alive[name])
        new = self.restarts.in_row(name) == 0

        def start() -> EngineHandle:
            if room is not None and new:
                room(missing)
            return self._start(name, release, files)

        if missing > 0 and outcome is None and self.restarts.may_start(name):
            self.context.background.submit(starting, start)

    def _start(self, name: str, release: Release, files: PackagedFiles) -> EngineHandle:
        artifact = self.context.artifacts.path(release.model)
        for packaged, expected in files.items():
            self.context.artifacts.verify(packaged, expected)
        for loaded in (release.model, release.adapter) if self.context.signers else ():
            if loaded:
                signatures.check(self.context.artifacts, loaded, self.context.signers)
        log.info("starting an engine for release %s", short(name))
        return self._handle(name, release, artifact)

    def _handle(self, name: str, release: Release, artifact: Path) -> EngineHandle:
        return engine_processes.start_engine(
            release,
            release_name=name,
            artifact=artifact,
            run_dir=self.context.run_dir,
            log_dir=self.context.log_dir,
            config=self.context.serving,
            adapter=self.context.artifacts.path(release.adapter) if release.adapter else None,
            behind=self.context.behind(name, release),
        )

    def _drain(self, unwanted: Iterable[EngineHandle]) -> None:
        """Ask unwanted engines to end after their requests, once no gateway sends them any; kill those that do not."""
        now = time.monotonic()
        for handle in unwanted:
            since = self.memory.engines.stopping.setdefault(handle.id, now)
            asked = self.memory.engines.ended.get(handle.id)
            if asked is None and now - since >= ROUTING_LAG_S:
                self.memory.engines.ended[handle.id] = now
                engine_processes.begin_stop(handle)
            elif asked is not None and handle.pid and now - asked > self.context.drain_s:
                kill_process(handle.pid, handle.started)
