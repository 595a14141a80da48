"""What a gateway costs: CPU, memory and added latency of nginx, Flyball and peers before the same mock upstream.

    python bench/gateway.py [--quick] [--rounds 5] [--before DIR]
                             [--systems nginx,floor,asgi,flyball,compiled,litellm,tensorzero]

Per round each system in turn answers, at a 1 kB prompt and a 1 kB answer: plain requests and 50-chunk streams in a
closed loop (for CPU), then Poisson arrivals at 200 and at 1,000 requests/s (for latency and CPU). CPU is user and
system time of the gateway's whole process tree, the ingester apart, the load and the mock in neither. Added latency is
the difference of quantiles: the system's less those of the same arrivals (same seed) straight at the mock in the same
round. Figures are medians over the rounds, `spread` their lowest and highest. The last line is one JSON object. I/O:
processes of its own on loopback ports, ended by their pids. `floor` passes bytes on and does nothing else
(gateway_floor.py): what the event loop and the parser cost without a gateway. `asgi` does so with
uvicorn and httpx (gateway_asgi.py). `compiled` is Flyball with the way of a request compiled (`make compiled`),
`flyball` the same source run by Python. Flyball runs in the interpreter that runs this: take one that was built with
optimisations, as a distribution's are and pyenv's by default are not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from gateway_systems import ROOT, SYSTEMS, Absent, Command, Plan, flyball

HERE = Path(__file__).parent
RATES = (200, 1000)
PROMPT = ("my parcel has not come yet and nobody at the depot can tell me where it is " * 16)[:1024]
USERS = 500
UNBEARABLE_MS = 20.0  # of CPU per request: such a system is measured with fewer requests and at the lower rate only


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int
    plain: int
    streams: int
    seconds: float
    connections: int = 16
    streams_at_once: int = 32


class Running:
    """A started system and its processes."""

    def __init__(self, name: str, plan: Plan, processes: dict[int, Command]) -> None:
        self.name, self.plan = name, plan
        self.processes = processes

    def cpu_s(self, role: str) -> float:
        """CPU seconds so far of all processes of a role."""
        return sum(_cpu_of(process) for process in self._tree(role))

    def rss_mb(self, role: str) -> list[float]:
        """Resident memory of each process of a role, largest first."""
        return sorted((process.memory_info().rss / 1e6 for process in self._tree(role)), reverse=True)

    def _tree(self, role: str) -> list[psutil.Process]:
        roots = [psutil.Process(pid) for pid, command in self.processes.items() if command.role == role]
        return [process for root in roots for process in (root, *root.children(recursive=True))]


def _cpu_of(process: psutil.Process) -> float:
    """User and system seconds in nanoseconds' resolution (clock_getcpuclockid), and those of children that ended."""
    times = process.cpu_times()
    return time.clock_gettime(~process.pid << 3 | 2) + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round, for use while developing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--before", type=Path, help="another checkout of Flyball, compiled where it is")
    arguments = parser.parse_args()
    names = arguments.systems.split(",")
    if arguments.before:
        compiled = arguments.before.resolve() / "build/compiled"
        SYSTEMS["before"] = partial(flyball, code=compiled if compiled.is_dir() else arguments.before.resolve() / "src")
        names.append("before")
    effort = Effort(arguments.rounds, plain=6000, streams=640, seconds=10.0)
    if arguments.quick:
        effort = Effort(1, plain=3000, streams=320, seconds=3.0)
    rounds: dict[str, list[dict[str, float]]] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flyball-bench-")))
        mock = stack.enter_context(mock_upstream())
        systems, missing = start_all(stack, folder, names, mock)
        for number in range(effort.rounds):
            direct = Direct(mock, folder, effort, seed=number)
            for system in systems:
                figures = measure(system, direct)
                rounds.setdefault(system.name, []).append(figures)
                say(f"round {number + 1} {system.name}: {json.dumps(figures)}")
    print(json.dumps(report(rounds, missing)))


# processes -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def mock_upstream() -> Iterator[int]:
    """The mock's port; it ends with its standard input, so with us."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "gateway_mock.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        stop(process)


def start_all(
    stack: contextlib.ExitStack, folder: Path, names: list[str], mock: int
) -> tuple[list[Running], dict[str, str]]:
    """Every system that is there, running; and why the others are not."""
    running, missing = [], {}
    for name in names:
        place = folder / name
        place.mkdir()
        try:
            plan = SYSTEMS[name](place, mock)
            running.append(start(stack, name, plan, place))
        except (Absent, NotReady) as error:
            missing[name] = str(error)
            say(f"{name} is not measured: {error}")
    return running, missing


class NotReady(Exception):
    """A system that did not come up."""


def start(stack: contextlib.ExitStack, name: str, plan: Plan, place: Path) -> Running:
    """Start a system's processes and wait until it answers a request."""
    processes, started = {}, []
    log = stack.enter_context((place / "log").open("wb"))
    for command in plan.commands:
        process = subprocess.Popen(
            command.line,
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=command.user,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **command.environment},
        )
        stack.callback(stop, process)
        processes[process.pid] = command
        started.append(process)
    until = time.monotonic() + 90
    while not answers(plan := _with_port(plan)):
        ended = [process for process in started if process.poll() is not None]
        if ended or time.monotonic() > until:
            what = f"ended with {ended[0].returncode}" if ended else "did not answer within 90 s"
            raise NotReady(f"{name} {what}: {' '.join((place / 'log').read_text()[-300:].split())}")
        time.sleep(0.1)
    return Running(name, plan, processes)


def _with_port(plan: Plan) -> Plan:
    """The plan with the port that the system chose itself, once it says so."""
    if plan.port or plan.port_file is None or not plan.port_file.is_file():
        return plan
    return replace(plan, port=int(plan.port_file.read_text() or 0))


def answers(plan: Plan) -> bool:
    """Whether a plain request is answered with 200."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{plan.port}{plan.path}",
        data=_body(plan.model, 0, stream=False).encode(),
        headers={"content-type": "application/json", **plan.headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=5.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def stop(process: subprocess.Popen[Any]) -> None:
    """End one process of ours and its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


# load ------------------------------------------------------------------------------------------------------------


def _body(model: str, user: int, *, stream: bool) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "user": f"user-{user}"}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body)


def requests(plan: Plan, *, stream: bool) -> list[str]:
    """One request per user, as bytes on the wire."""
    made = []
    for user in range(USERS):
        body = _body(plan.model, user, stream=stream)
        headers = {"host": "127.0.0.1", "content-type": "application/json", **plan.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        made.append(f"POST {plan.path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n{body}")
    return made


def load(plan: Plan, folder: Path, *, stream: bool, **job: Any) -> dict[str, Any]:
    """Run one job of the load generator."""
    path = folder / "job.json"
    path.write_text(json.dumps({"port": plan.port, "requests": requests(plan, stream=stream), **job}))
    done = subprocess.run(
        [sys.executable, str(HERE / "gateway_load.py"), str(path)], check=True, stdout=subprocess.PIPE, timeout=600
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


class Direct:
    """The same load straight at the mock: what latencies are compared with."""

    def __init__(self, mock: int, folder: Path, effort: Effort, *, seed: int) -> None:
        self.folder, self.effort, self.seed = folder, effort, seed
        plan = Plan(commands=[], port=mock, model="engine-model")
        self.latencies = {rate: self.arrivals(plan, rate)["latencies_ms"] for rate in RATES}

    def arrivals(self, plan: Plan, rate: int) -> dict[str, Any]:
        """Poisson arrivals of this round."""
        return load(
            plan,
            self.folder,
            stream=False,
            rate=rate,
            seconds=self.effort.seconds,
            seed=self.seed,
            connections=self.effort.connections,
        )


# figures ---------------------------------------------------------------------------------------------------------


def measure(system: Running, direct: Direct) -> dict[str, float]:
    """One round of one system."""
    effort, plan, folder = direct.effort, system.plan, direct.folder
    warm = cpu_per(system, effort.plain // 60, lambda n: load(plan, folder, stream=False, total=n, connections=8))
    slow = warm["cpu_us"] / 1000 > UNBEARABLE_MS / 4
    plain, streams = (effort.plain // 20, effort.streams // 20) if slow else (effort.plain, effort.streams)
    figures = {}
    one = cpu_per(system, plain, lambda n: load(plan, folder, stream=False, total=n, connections=effort.connections))
    figures["cpu_us_per_request"] = one["cpu_us"]
    figures["ingester_cpu_us_per_request"] = one["ingester_us"]
    many = cpu_per(
        system, streams, lambda n: load(plan, folder, stream=True, total=n, connections=effort.streams_at_once)
    )
    figures["cpu_ms_per_stream"] = many["cpu_us"] / 1000
    for rate in RATES:
        figures |= {f"{name}_{rate}": value for name, value in at_rate(system, direct, rate).items()}
    memory = system.rss_mb("gateway")
    figures["rss_mb"], figures["rss_mb_per_worker"] = sum(memory), memory[0]
    figures["ingester_rss_mb"] = sum(system.rss_mb("ingester"))
    return figures


def cpu_per(system: Running, count: int, run: Any) -> dict[str, float]:
    """CPU microseconds per request over `count` of them; the ingester's until it has caught up."""
    gateway, ingester = system.cpu_s("gateway"), system.cpu_s("ingester")
    result = run(count)
    if result["errors"] or result["unanswered"]:
        raise RuntimeError(f"{system.name}: {result['errors']} errors, {result['unanswered']} without an answer")
    used = system.cpu_s("gateway") - gateway
    return {"cpu_us": used / count * 1e6, "ingester_us": (caught_up(system) - ingester) / count * 1e6}


def caught_up(system: Running) -> float:
    """CPU seconds of the ingester once it has nothing more to do."""
    before = system.cpu_s("ingester")
    while True:
        time.sleep(0.5)
        now = system.cpu_s("ingester")
        if now - before < 0.02:
            return now
        before = now


def at_rate(system: Running, direct: Direct, rate: int) -> dict[str, float]:
    """Latency and CPU under open-loop load; nothing but `kept_up` 0 where the system cannot keep up."""
    before = system.cpu_s("gateway")
    result = direct.arrivals(system.plan, rate)
    used, found = system.cpu_s("gateway") - before, result["latencies_ms"]
    caught_up(system)
    if result["unanswered"] or result["errors"]:
        return {"kept_up": 0.0, "errors": result["errors"], "unanswered": result["unanswered"]}
    base = direct.latencies[rate]
    return {
        "kept_up": 1.0,
        "cpu_us": used / len(found) * 1e6,
        "added_p50_ms": quantile(found, 0.5) - quantile(base, 0.5),
        "added_p99_ms": quantile(found, 0.99) - quantile(base, 0.99),
        "p50_ms": quantile(found, 0.5),
        "p99_ms": quantile(found, 0.99),
    }


def quantile(values: list[float], share: float) -> float:
    """By the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(rounds: dict[str, list[dict[str, float]]], missing: dict[str, str]) -> dict[str, Any]:
    """Medians per system and their spread, and ratios to nginx."""
    out: dict[str, Any] = {}
    for name, found in rounds.items():
        names = dict.fromkeys(key for figures in found for key in figures)
        series = {key: [figures[key] for figures in found if key in figures] for key in names}
        out[name] = {key: round(statistics.median(values), 3) for key, values in series.items()}
        at = max(
            [rate for rate in RATES if f"added_p50_ms_{rate}" in out[name]], default=None
        )  # None: kept up with none
        out[name] |= {f"added_{q}_ms": out[name].get(f"added_{q}_ms_{at}") for q in ("p50", "p99")}
        out[name]["spread"] = {key: [round(min(values), 3), round(max(values), 3)] for key, values in series.items()}
    if "flyball" in out:
        out["ingester_cpu_us_per_request"] = out["flyball"]["ingester_cpu_us_per_request"]
    if "nginx" in out:
        compared = ("cpu_us_per_request", "cpu_us_1000", "cpu_us_200", "cpu_ms_per_stream", "rss_mb")
        out["ratios"] = {
            name: {key: round(out[name][key] / out["nginx"][key], 2) for key in compared if key in out[name]}
            for name in rounds
            if name != "nginx"
        }
    out["python"] = sys.version  # of Flyball, mock and load: how it was built decides about a fifth of the first's CPU
    out["not_measured"] = missing
    return out


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
