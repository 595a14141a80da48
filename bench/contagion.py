"""What callers of a bad kind cost the good callers beside them. One JSON object last.

    python bench/contagion.py [--rate 100] [--bad-rate 20] [--seconds 4]

Good callers ask at a steady rate of one gateway process, alone and then beside callers who meet the bad side of an
upstream (a status, a reset, silence, an odd answer), for one upstream and for two. For each: good requests that failed,
and their p99 against that of the run alone just before. At 20 a second, silence of two seconds holds 40 of the 64 slots
that an upstream has; who holds all of them keeps others waiting, whatever a breaker does. I/O: loopback only; each run
ends by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

KINDS = ("400", "429", "500", "501", "503", "reset", "silence", "html")
ANSWER = json.dumps(
    {
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
    }
).encode()
ENGINE_S = 0.02
CONFIG = """gateway: {first_token_timeout_s: 2, total_timeout_s: 2, drain_s: 0}
models: [m]
upstreams:
"""


class Upstream:
    """Answers in 20 ms, and in one way or another to whoever says "bad"."""

    def __init__(self) -> None:
        self.kind = "400"
        self.port = 0

    async def start(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.port = server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
        body = await reader.readexactly(size)
        status, answer = "200 OK", ANSWER
        if b"bad" in body:
            if self.kind == "reset":
                writer.transport.abort()
                return False
            if self.kind == "silence":
                await asyncio.sleep(3)
                return False
            if self.kind == "html":
                answer = b"<html>welcome</html>"
            else:
                status, answer = f"{self.kind} No", b'{"error": {"message": "no", "code": "no"}}'
        await asyncio.sleep(ENGINE_S)
        writer.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (status.encode(), len(answer), answer)
        )
        await writer.drain()
        return True


class Client:
    """Kept-alive connections to the gateway."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, text: str, user: str) -> tuple[int, float]:
        """The status and the seconds it took."""
        body = json.dumps({"model": "m", "user": user, "messages": [{"role": "user", "content": text}]}).encode()
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        began = time.perf_counter()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        writer.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))
        lines = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(lines.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
        took = time.perf_counter() - began
        self.idle.append((reader, writer))
        return int(lines.split(b" ", 2)[1]), took


async def at_rate(client: Client, text: str, rate: float, seconds: float) -> list[tuple[int, float]]:
    """Ask steadily, whoever is slow; what came of each."""
    began, asked = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        asked.append(asyncio.ensure_future(client.ask(f"{text} {number}", f"{text} {number % 5}")))
    return list(await asyncio.gather(*asked))


async def measured(options: argparse.Namespace, number: int) -> dict[str, dict[str, float]]:
    upstreams = [Upstream() for _ in range(number)]
    for upstream in upstreams:
        await upstream.start()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "gateway.yaml"
        config.write_text(CONFIG + "".join(f"  - {{url: 'http://127.0.0.1:{one.port}'}}\n" for one in upstreams))
        found = {}
        for kind in KINDS:
            for upstream in upstreams:
                upstream.kind = kind
            gateway, port = started(config, Path(folder) / kind)
            try:
                found[kind] = await beside(Client(port), options)
            finally:
                gateway.terminate()
                gateway.wait(20)
            print(f"  {number} upstream{'s' * (number > 1)}, {kind}: {found[kind]}", file=sys.stderr)
    return found


async def beside(client: Client, options: argparse.Namespace) -> dict[str, float]:
    await at_rate(client, "good", options.rate, 1.0)
    alone = [took for _status, took in await at_rate(client, "good", options.rate, options.seconds)]
    bad = asyncio.ensure_future(at_rate(client, "bad", options.bad_rate, options.seconds + 0.5))
    await asyncio.sleep(0.5)
    good = await at_rate(client, "good", options.rate, options.seconds)
    met = await bad
    times = [took for status, took in good]
    return {
        "failed": sum(status != 200 for status, _took in good),
        "p99_ratio": round(quantiles(times, n=100)[98] / quantiles(alone, n=100)[98], 2),
        "p50_ratio": round(median(times) / median(alone), 2),
        "bad_answered": sum(status == 200 for status, _took in met),
    }


def started(config: Path, state: Path) -> tuple[subprocess.Popen[bytes], int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [
        sys.executable,
        "-m",
        "flyball",
        "gateway",
        "--config",
        str(config),
        "--port",
        str(port),
        "--state",
        str(state),
    ]
    gateway = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return gateway, port
        time.sleep(0.05)
    gateway.kill()
    raise SystemExit("the gateway did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=100.0, help="good requests per second")
    parser.add_argument("--bad-rate", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    found: dict[str, Any] = {f"{number} upstream": asyncio.run(measured(options, number)) for number in (1, 2)}
    runs: list[dict[str, float]] = [run for kinds in found.values() for run in kinds.values()]
    result = {
        "failed": sum(run["failed"] for run in runs),
        "p99_ratio_median": median(run["p99_ratio"] for run in runs),
        "p99_ratio_most": max(run["p99_ratio"] for run in runs),
        "runs": found,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
