"""Tokens per second through the gateway and straight from the same engine. Prints one JSON object as its last line.

    python bench/engines.py [--rounds 11] [--streams 1,8,32] [--hidden 512] [--layers 10]

One embedded engine (one thread; on the GPU where llama.cpp was built for one) serves a random model, made here, of
about 21 million parameters unless a larger one is asked for; every answer has the same number of tokens. The bare
engine and the gateway in front of that very process, with prompt path and sealed recording on, are measured in turn,
the first of each pair alternating; `ratio` is the median over the rounds' ratios. CPU per token tells whether a low
ratio is the gateway's doing (the engine works more per token behind it) or the machine's (other load beside it). On two
cores the gateway, the ingester and the load generator share what the engine's thread leaves of the second one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from flyball.inference.prompt_path import engine_request
from flyball.records import Release, name_of
from flyball.serving import engine_processes
from flyball.serving.config import ServingConfig
from flyball.serving.engine_processes import EngineHandle
from flyball.storage.routing import Arm, Endpoint, Route, RoutingTable, publish

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from tiny_gguf import tiny_release, write_tiny_gguf

FLYBALL = [sys.executable, "-m", "flyball"]
TOKENS = 96
SLOTS = 32
WAVES = {1: 4, 8: 2, 32: 1}  # requests one after the other in each stream: two to five seconds a measurement
BODY = {
    "model": "bench",
    "messages": [{"role": "user", "content": "Tell me something long about flyball governors."}],
    "max_tokens": TOKENS,
    "temperature": 0,
    "ignore_eos": True,
    "stream": True,
    "stream_options": {"include_usage": True},
}


@dataclass(frozen=True, slots=True)
class Side:
    """One way to the engine: where, the body that it gets, and the process whose CPU is its cost."""

    name: str
    port: int
    request: bytes
    process: psutil.Process


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--streams", default="1,8,32")
    parser.add_argument("--hidden", type=int, default=512, help="width of the model, a multiple of 32")
    parser.add_argument("--layers", type=int, default=10)
    given = parser.parse_args()
    shape = {"hidden": given.hidden, "layers": given.layers}
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder, serving(Path(folder), shape) as sides:
        figures = {streams: compared(sides, int(streams), given.rounds) for streams in given.streams.split(",")}
    print(json.dumps({"tokens_per_request": TOKENS, "rounds": given.rounds, "streams": figures}))


@contextmanager
def serving(folder: Path, shape: dict[str, int]) -> Iterator[tuple[Side, Side]]:
    """The engine and a project's gateway and ingester in front of it, as `flyball up` starts them."""
    project = folder / "bench"
    subprocess.run([*FLYBALL, "init", str(project)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    release = tiny_release(project="bench", slots=SLOTS, context=512)
    handle = started(release, folder, project / ".flyball", shape)
    children = []
    try:
        port = free_port()
        publish(project / ".flyball/run/routes.json", routes(release, handle))
        for arguments in (["gateway", "--port", str(port)], ["ingester"]):
            command = [*FLYBALL, "process", *arguments, "-C", str(project)]
            children.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        wait_for(f"http://127.0.0.1:{port}/readyz")
        engine_port = int(handle.url.rpartition(":")[2])
        bare = Side(
            "bare", engine_port, raw_request(engine_port, engine_request(release, BODY)), psutil.Process(handle.pid)
        )
        yield bare, Side("gateway", port, raw_request(port, BODY), psutil.Process(children[0].pid))
    finally:
        for child in children:
            child.terminate()
            child.wait(30)
        engine_processes.stop_engine(handle, grace_s=5)


def started(release: Release, folder: Path, state: Path, shape: dict[str, int]) -> EngineHandle:
    """The engine, ready."""
    model = write_tiny_gguf(folder / "model.gguf", context=512, quantized=True, printable=True, **shape)
    handle = engine_processes.start_engine(
        release,
        release_name=name_of(release),
        artifact=model,
        run_dir=state / "run",
        log_dir=state / "logs",
        config=ServingConfig(),
    )
    return engine_processes.wait_ready(handle, release, timeout_s=60)


def routes(release: Release, handle: EngineHandle) -> RoutingTable:
    """All traffic to this engine, through the prompt path."""
    endpoint = Endpoint(id=handle.id, url=handle.url, slots=handle.slots)
    arm = Arm(release=name_of(release), variant="live", weight=1.0, endpoints=(endpoint,), prompt_path=release)
    return RoutingTable(version=1, project="bench", routes=(Route(name="bench", arms=(arm,), default=True),))


def compared(sides: tuple[Side, Side], streams: int, rounds: int) -> dict[str, Any]:
    """Both sides in turn; medians, the range of the ratios, and CPU per token."""
    for side in sides:
        asyncio.run(load(side, streams, 1))  # connections, and the engine's slots, are warm
    runs: dict[str, list[float]] = {side.name: [] for side in sides}
    first_ms: dict[str, list[float]] = {side.name: [] for side in sides}
    cpu: dict[str, list[float]] = {"engine_bare": [], "engine_behind_gateway": [], "gateway": []}
    for number in range(rounds):
        for side in sides if number % 2 else sides[::-1]:
            before = [used(one) for one in sides]
            speed, answers = asyncio.run(load(side, streams, WAVES.get(streams, 1)))
            tokens = len(answers) * TOKENS
            engine, gateway = [(used(one) - then) / tokens * 1e6 for one, then in zip(sides, before, strict=True)]
            runs[side.name].append(speed)
            first_ms[side.name] += [one * 1000 for one in answers]
            cpu["engine_bare" if side.name == "bare" else "engine_behind_gateway"].append(engine)
            if side.name == "gateway":
                cpu["gateway"].append(gateway)
        print(f"{streams} streams: {runs['bare'][-1]:.0f} bare, {runs['gateway'][-1]:.0f} gateway", file=sys.stderr)
    ratios = [behind / bare for bare, behind in zip(runs["bare"], runs["gateway"], strict=True)]
    return {
        "bare_tokens_per_s": round(statistics.median(runs["bare"])),
        "gateway_tokens_per_s": round(statistics.median(runs["gateway"])),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_spread": f"{min(ratios):.3f}–{max(ratios):.3f}",
        "first_token_ms": {name: round(statistics.median(values), 2) for name, values in first_ms.items()},
        "cpu_us_per_token": {name: round(statistics.median(values)) for name, values in cpu.items()},
    }


def used(side: Side) -> float:
    times = side.process.cpu_times()
    return float(times.user + times.system)


async def load(side: Side, streams: int, waves: int) -> tuple[float, list[float]]:
    """Tokens per second over all streams, and the seconds to the first token of each answer."""
    began = time.perf_counter()
    waits = await asyncio.gather(*(stream(side, waves) for _ in range(streams)))
    answers = [one for wait in waits for one in wait]
    return len(answers) * TOKENS / (time.perf_counter() - began), answers


async def stream(side: Side, waves: int) -> list[float]:
    """Requests one after the other; the seconds to the first token of each."""
    return [await answered(side) for _ in range(waves)]


async def answered(side: Side) -> float:
    """One whole answer, on a connection of its own: the engine's server drops kept ones now and then."""
    reader, writer = await asyncio.open_connection("127.0.0.1", side.port)
    began, first_s = time.perf_counter(), 0.0
    writer.write(side.request)
    received = bytearray()
    while not received.endswith(b"\r\n0\r\n\r\n"):
        data = await reader.read(65_536)
        if not data:
            raise SystemExit(f"{side.name} broke off: {bytes(received[-500:])!r}")
        received += data
        if not first_s and b"data:" in received:
            first_s = time.perf_counter() - began
    writer.close()
    found = re.findall(rb'"completion_tokens":(\d+)', received)
    if b" 200 " not in received[:20] or not found:
        raise SystemExit(f"{side.name} answered {bytes(received[:500])!r}")
    if int(found[-1]) != TOKENS:
        raise SystemExit(f"{side.name} gave {found[-1]!r} tokens instead of {TOKENS}")
    return first_s


def raw_request(port: int, body: dict[str, Any]) -> bytes:
    payload = json.dumps(body).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (port, len(payload), payload)
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{url} does not answer")


if __name__ == "__main__":
    main()
