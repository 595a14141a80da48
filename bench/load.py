"""`flyball load` beside wrk and a closed loop on aiohttp: rate, the sender's own lag, and what each sees of a stall.

    python bench/load.py [--rate 3000] [--seconds 5]      prints one JSON object last

One server answers all of them at once with 1 kB (bench/gateway_mock.py). In the second part it is stopped (SIGSTOP)
for 300 ms in the middle of the run: of a run of five seconds, 6 % of the requests were due then. I/O: loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STALL_S = 0.3
CONNECTIONS = 32
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello " * 64}], "max_tokens": 64})
WRK = f"""\
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = '{BODY}'
"""
Result = dict[str, Any]


@contextmanager
def server() -> Any:
    """The mock engine: its process and its port."""
    command = [sys.executable, str(HERE / "gateway_mock.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        yield process, int(process.stdout.readline())
        process.stdin.close()


def flyball(port: int, rate: float, seconds: float) -> Result:
    """One run of the open loop, in a process of its own."""
    command = [sys.executable, "-m", "flyball", "load", f"http://127.0.0.1:{port}/v1", "--plain", "--json"]
    command += ["--rate", str(rate), "--duration", f"{seconds:g}s", "--objective", "e2e=100ms"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    run = json.loads(done.stdout)["load"]["summary"]
    values = {one["name"]: one["value"] for one in run["measures"]}
    return {
        "sent_per_s": run["sent_per_s"],
        "answered_per_s": values["throughput_per_s"],
        "p50_ms": values["e2e_p50_ms"],
        "p99_ms": values["e2e_p99_ms"],
        "over_100_ms": 1.0 - values["goodput_share"],
        "lag_p50_ms": run["lag"]["p50_ms"],
        "lag_p99_ms": run["lag"]["p99_ms"],
        "cpu_share": run["lag"]["cpu_share"],
        "valid": not run["invalid"],
    }


def aiohttp_loop(port: int, seconds: float) -> Result:
    """A closed loop, as it is often written: each of the workers asks again when it was answered."""
    done = subprocess.run(
        [sys.executable, str(HERE / "load.py"), "--closed-loop", str(port), str(seconds)],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(done.stdout))


async def closed_loop(port: int, seconds: float) -> Result:
    """The workers of `aiohttp_loop`."""
    import aiohttp

    times: list[float] = []
    end = time.monotonic() + seconds

    async def worker(session: aiohttp.ClientSession) -> None:
        while (began := time.monotonic()) < end:
            async with session.post(
                f"http://127.0.0.1:{port}/v1/chat/completions", data=BODY, headers={"content-type": "application/json"}
            ) as answer:
                json.loads(await answer.read())
            times.append(time.monotonic() - began)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:
        await asyncio.gather(*(worker(session) for _ in range(CONNECTIONS)))
    times.sort()
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "answered_per_s": len(times) / seconds,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[int(len(times) * 0.99)] * 1000,
        "over_100_ms": sum(one > 0.1 for one in times) / len(times),
        "cpu_share": (used.ru_utime + used.ru_stime) / seconds,
    }


def wrk(port: int, seconds: float) -> Result | None:
    """One thread of wrk; None where it is not installed."""
    if shutil.which("wrk") is None:
        return None
    script = Path(tempfile.mkdtemp(prefix="flyball-wrk-")) / "post.lua"
    script.write_text(WRK)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{int(seconds)}", "--latency", "-s", str(script)]
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{port}/v1/chat/completions"], capture_output=True, text=True, check=True
    ).stdout
    shutil.rmtree(script.parent)

    def ms(share: str) -> float:
        found = re.search(rf"{share}%\s+([\d.]+)(us|ms|s)\b", said)
        assert found, said
        return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]

    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert rate
    return {"answered_per_s": float(rate[1]), "p50_ms": ms("50"), "p99_ms": ms("99")}


def stalled(process: subprocess.Popen[str], seconds: float, run: Callable[[], Result | None]) -> Result | None:
    """A run in whose middle the server stands still."""

    def stall() -> None:
        process.send_signal(signal.SIGSTOP)
        time.sleep(STALL_S)
        process.send_signal(signal.SIGCONT)

    timer = threading.Timer(seconds / 2 + 1.0, stall)  # a second for the start of the client
    timer.start()
    try:
        return run()
    finally:
        timer.join()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=3000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--closed-loop", nargs=2, metavar=("PORT", "SECONDS"))
    options = parser.parse_args()
    if options.closed_loop:
        port, seconds = options.closed_loop
        print(json.dumps(asyncio.run(closed_loop(int(port), float(seconds)))))
        return
    with server() as (process, port):
        clients: dict[str, Callable[[], Result | None]] = {
            "flyball": lambda: flyball(port, options.rate, options.seconds),
            "aiohttp_closed_loop": lambda: aiohttp_loop(port, options.seconds),
            "wrk": lambda: wrk(port, options.seconds),
        }
        steady = {name: client() for name, client in clients.items()}
        print(json.dumps(steady, indent=1), file=sys.stderr)
        still = {name: stalled(process, options.seconds, client) for name, client in clients.items()}
    print(json.dumps({"steady": steady, "stall_of_300_ms": still}))


if __name__ == "__main__":
    main()
