"""Engines as processes that outlive whoever started them: start, find, probe, stop. I/O: processes, HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from flyball.engines.catalog import DEFAULT, has_own_processes, is_elsewhere, kind_of, says_damaged
from flyball.errors import CorruptionError, EnvironmentMissing, NotFoundError, UpstreamError
from flyball.inference.completions import HttpCompleter
from flyball.inference.http_client import ServerAccess
from flyball.records import Release
from flyball.records.identity import short, uuid7
from flyball.registry.adapters import ADAPTER
from flyball.serving import engine_files
from flyball.serving.config import ServingConfig
from flyball.serving.engine_access import with_way
from flyball.serving.engine_files import EngineFile
from flyball.serving.engine_logs import last_lines, prune
from flyball.serving.engine_spec import EngineSpec
from flyball.serving.processes import (
    ask_to_end,
    boot_id,
    end_process,
    is_running,
    kill_marked,
    marked_processes,
    start_time,
)

_LAUNCH_S = 30.0
_WARM_UP_S = 5.0
_QUESTION = {"messages": [{"role": "user", "content": "Are you ready?"}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHandle:
    """One engine: its process by pid and start time (pid 0: another's server), its address, its log."""

    id: str
    release: str
    url: str
    pid: int
    started: float
    log: Path
    kind: str = DEFAULT.name
    model: str = ""
    slots: int = 1
    ready: bool = False
    file: Path | None = None
    exact: bool = False  # the URL is the whole base (addresses.py)

    @property
    def processes(self) -> list[int]:
        """Its own process and, of a server of its own, that server's."""
        return [self.pid, *(marked_processes(self.id) if has_own_processes(self.kind) else ())]


def start_engine(
    release: Release,
    *,
    release_name: str,
    artifact: Path,
    run_dir: Path,
    log_dir: Path,
    config: ServingConfig,
    adapter: Path | None = None,
    owned: bool = False,
    behind: ServerAccess | None = None,
) -> EngineHandle:
    """Start one engine for a release and return at once; `url` is known later (see `refreshed`, `wait_ready`).

    `adapter`: the folder of the release's adapter. `owned`: the engine ends with this process (for evaluation);
    otherwise it outlives it and is found again by `running_engines`. `behind`: how the server is reached that the
    engine stands before. A release whose engine is elsewhere needs no
    process: its handle has pid 0.
    """
    if is_elsewhere(release):
        return _elsewhere(release, release_name, log_dir)
    log_dir.mkdir(parents=True, exist_ok=True)
    prune(log_dir)
    identifier = uuid7()
    log = log_dir / f"engine-{short(release_name)}.log"
    path = engine_files.folder(run_dir) / f"{identifier}.json"
    spec = EngineSpec(
        id=identifier,
        release=release_name,
        kind=release.engine.kind,
        file=str(path),
        log=str(log),
        context=release.engine.context,
        slots=release.engine.slots,
        threads=release.engine.threads,
        memory_limit_mb=config.memory_limit_mb,
        owner_pid=os.getpid() if owned else None,
        owner_started=(start_time(os.getpid()) or 0.0) if owned else 0.0,
        **_loaded(release, artifact, adapter, config),
    )
    _launch(spec, log, with_way(behind))
    found = engine_files.read(path)
    if found is None:
        raise UpstreamError(f"engine {identifier} ended at once{last_lines(log, identifier)}", cure=f"see {log}")
    return _handle(path, found)


def _loaded(release: Release, artifact: Path, adapter: Path | None, config: ServingConfig) -> dict[str, Any]:
    """What differs by kind: the model, the adapter, the batch, and the command of a server of its own."""
    kind = kind_of(release)
    model = model_file(artifact, release) if kind.loads == "gguf" else artifact
    lora = adapter_file(adapter) if adapter and kind.applies == "gguf-lora" else adapter
    program = config.commands.get(kind.name, kind.program)
    start = kind.started(release, model=model, adapter=lora, program=program)
    return {
        "model": str(model),
        "adapter": str(lora) if lora else None,
        "command": start.command,
        "environment": dict(start.environment),
        "ready": kind.signs.ready,
        **({"batch": start.batch} if start.batch else {}),
    }


def _launch(spec: EngineSpec, log: Path, environment: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "flyball.serving.engine_server", msgspec.json.encode(spec).decode()]
    with log.open("ab") as output:  # a file never fills up as a pipe does
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=environment,  # not among the arguments, which everybody may read
                timeout=_LAUNCH_S,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EnvironmentMissing(f"no engine process could be started: {error}", cure=f"see {log}") from error


def _elsewhere(release: Release, release_name: str, log_dir: Path) -> EngineHandle:
    kind = kind_of(release)
    server = kind.server(release.engine)
    return EngineHandle(
        id=f"{kind.name}-{short(release_name)}",
        release=release_name,
        kind=kind.name,
        url=server.url,
        exact=server.exact,
        pid=0,
        started=0.0,
        log=log_dir / f"engine-{short(release_name)}.log",
        slots=release.engine.slots,
    )


def model_file(artifact: Path, release: Release) -> Path:
    """The GGUF file of a release inside its artefact's folder; NotFoundError when it is not there."""
    if artifact.is_file():
        return artifact
    for name in (release.artifact, "model.gguf"):
        if name and (artifact / name).is_file():
            return artifact / name
    raise NotFoundError(f"no model.gguf in {artifact}", cure="run `flyball package`, or `dvc pull`")


def adapter_file(adapter: Path) -> Path:
    """The GGUF file of an adapter; NotFoundError when it has none."""
    path = adapter if adapter.is_file() else adapter / ADAPTER
    if not path.is_file():
        raise NotFoundError(f"no {ADAPTER} in {adapter}", cure="take it in again: flyball import FILE.gguf")
    return path


def refreshed(handle: EngineHandle) -> EngineHandle:
    """The handle with what its file says by now: the address once it listens, whether it is ready."""
    found = engine_files.read(handle.file) if handle.file else None
    return _handle(handle.file, found) if handle.file and found and found.id == handle.id else handle


def is_alive(handle: EngineHandle) -> bool:
    """Whether its process runs; somebody else's server is always said to (probe it)."""
    return handle.pid == 0 or is_running(handle.pid, handle.started)


def probe(handle: EngineHandle, release: Release, *, timeout_s: float, way: ServerAccess | None = None) -> None:
    """One real inference through the prompt path, then what warms its kind; UpstreamError when none comes in time.

    Warming takes a few seconds at most; then it serves anyhow.
    """
    completer = HttpCompleter(handle.url, release=release, model=handle.release, timeout_s=timeout_s, way=way)
    first, together = kind_of(release).warm_up(release)
    deadline = time.monotonic() + _WARM_UP_S
    try:
        for fields in first:
            completer.complete(_QUESTION, besides=fields)
            if time.monotonic() > deadline:
                return
        if together:
            with ThreadPoolExecutor(len(together)) as pool:
                list(pool.map(lambda besides: completer.complete(_QUESTION, besides=besides), together))
    finally:
        completer.close()


def wait_ready(
    handle: EngineHandle, release: Release, *, timeout_s: float, way: ServerAccess | None = None
) -> EngineHandle:
    """Wait until a real inference has answered (healthy is not ready); UpstreamError with the engine's last lines."""
    deadline = time.monotonic() + timeout_s
    problem = "it did not listen"
    while time.monotonic() < deadline:
        handle = refreshed(handle)
        if not is_alive(handle):
            raise dead(handle)
        if handle.url:
            try:
                probe(handle, release, timeout_s=max(0.1, deadline - time.monotonic()), way=way)
                return mark_ready(handle)
            except UpstreamError as error:
                problem = error.message
        time.sleep(0.05)
    raise UpstreamError(
        f"engine {handle.id} of release {short(handle.release)} was not ready within {timeout_s:g} s: {problem}"
        f"{last_lines(handle.log, handle.id)}",
        cure="raise rollout.ready_timeout_s, or give the machine more time or memory",
    )


def mark_ready(handle: EngineHandle) -> EngineHandle:
    """Note in its file that a real inference answered, so that whoever adopts the engine serves from it at once."""
    found = engine_files.read(handle.file) if handle.file else None
    if handle.file and found:
        engine_files.write(handle.file, msgspec.structs.replace(found, ready=True))
    return replace(handle, ready=True)


def dead(handle: EngineHandle) -> UpstreamError:
    """The error for an engine that ended by itself, with its last words."""
    lines = last_lines(handle.log, handle.id)
    damaged = says_damaged(lines)
    kind = CorruptionMet if damaged else UpstreamError
    return kind(
        f"engine {handle.id} of release {short(handle.release)} ended by itself{lines}",
        cure="run `flyball package` to make the model file anew" if damaged else f"see {handle.log}",
    )


class CorruptionMet(UpstreamError, CorruptionError):
    """The engine could not read its model file."""


def stop_engine(handle: EngineHandle, *, grace_s: float) -> bool:
    """End an engine: it finishes its requests first, after `grace_s` it is killed. True when it is gone."""
    gone = handle.pid == 0 or end_process(handle.pid, handle.started, grace_s=grace_s)
    if gone and handle.file:
        handle.file.unlink(missing_ok=True)
    return gone


def begin_stop(handle: EngineHandle) -> None:
    """Ask an engine to end after its requests, without waiting."""
    if handle.pid:
        ask_to_end(handle.pid, handle.started)


def running_engines(run_dir: Path) -> list[EngineHandle]:
    """The engines that run on this machine, by pid and start time; files of dead ones are removed."""
    here, found = boot_id(), []
    for path, content in engine_files.read_all(run_dir).items():
        if content is not None and content.boot == here and is_running(content.pid, content.started):
            found.append(_handle(path, content))
        elif content is None or content.boot != here or not is_running(content.pid, content.started):
            if content is not None and has_own_processes(content.kind) and content.boot == here:
                kill_marked(content.id)  # what the kernel did not end with it
            path.unlink(missing_ok=True)
    return found


def stop_all(run_dir: Path, *, grace_s: float) -> None:
    """End every engine at once: they are asked together, then each is waited for."""
    engines = running_engines(run_dir)
    for handle in engines:
        begin_stop(handle)
    for handle in engines:
        stop_engine(handle, grace_s=grace_s)


@contextmanager
def engine_process(
    release: Release,
    artifact: Path,
    *,
    release_name: str = "",
    timeout_s: float = 60.0,
    log_dir: Path | None = None,
    adapter: Path | None = None,
    config: ServingConfig | None = None,
    way: ServerAccess | None = None,
    behind: ServerAccess | None = None,
) -> Iterator[str]:
    """For evaluation: an engine that is ready, as its URL; it ends with the block, and with this process."""
    with TemporaryDirectory(prefix="flyball-engine-") as folder:
        run_dir = Path(folder)
        handle = start_engine(
            release,
            release_name=release_name or release.model,
            artifact=artifact,
            run_dir=run_dir,
            log_dir=log_dir or run_dir,
            config=config or ServingConfig(),
            adapter=adapter,
            owned=True,
            behind=behind,
        )
        try:
            yield wait_ready(handle, release, timeout_s=timeout_s, way=way).url
        finally:
            stop_engine(handle, grace_s=1.0)


def _handle(path: Path, content: EngineFile) -> EngineHandle:
    return EngineHandle(
        id=content.id,
        release=content.release,
        kind=content.kind,
        model=content.model,
        url=content.url,
        pid=content.pid,
        started=content.started,
        log=Path(content.log),
        slots=content.slots,
        ready=content.ready,
        file=path,
    )
