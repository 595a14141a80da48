"""What an evaluation adds to the engine's own time: 2,000 requests, and the same ones from a bare client, in turn.

    python bench/evaluation.py [--rounds 5] [--requests 2000]     prints one JSON object last

One embedded engine (one thread) serves a random model, made here; every answer has the same number of tokens. Bare is a
client on aiohttp with as many workers, the same prompts and the same tokens, that reads answers and keeps nothing.
`evaluate` loads the suite, asks, keeps each answer in its file, scores, measures and writes the reports; `command` adds
the start of the process. `ratio` is the median over the rounds' ratios. I/O: loopback, a temporary folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from engines import started, tiny_release
from flyball.serving import engine_processes

CONCURRENCY = 8
TOKENS = 16
REQUEST: dict[str, Any] = {"model": "bench", "temperature": 0, "seed": 1, "max_tokens": TOKENS, "ignore_eos": True}
WORDS = [
    "invoice",
    "refund",
    "card",
    "parcel",
    "late",
    "lost",
    "charge",
    "transfer",
    "limit",
    "account",
    "top-up",
    "exchange",
    "pending",
    "fee",
]
SHAPE = {"hidden": 128, "layers": 3}


def cases(count: int, seed: int) -> list[dict[str, str]]:
    """Distinct questions of some ten words; a round has its own, so that no cache of prompts helps one side."""
    choose = random.Random(seed)
    return [
        {"text": f"case {seed} {number}: {' '.join(choose.choices(WORDS, k=10))}", "label": choose.choice(WORDS)}
        for number in range(count)
    ]


async def bare(url: str, texts: list[str]) -> tuple[float, int]:
    """Seconds and completion tokens of all questions, `CONCURRENCY` at once."""
    left, tokens = iter(texts), 0

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal tokens
        for text in left:
            body = {"messages": [{"role": "user", "content": text}], **REQUEST}
            async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
                answer.raise_for_status()
                tokens += (await answer.json())["usage"]["completion_tokens"]

    began = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(worker(session) for _ in range(CONCURRENCY)))
    return time.perf_counter() - began, tokens


def evaluate(url: str, suite: Path, out: Path) -> dict[str, Any]:
    """Seconds of `evaluate_url` in this process, its processor time, and how many were answered."""
    from flyball.evaluation.config import EvaluateConfig
    from flyball.evaluation.url_evaluation import evaluate_url, load_cases

    began, used = time.perf_counter(), time.process_time()
    found = load_cases([suite], task="chat", config=EvaluateConfig(concurrency=CONCURRENCY))
    report, _ = evaluate_url(f"{url}/v1", model="bench", cases=found, out=out, request=REQUEST)
    errors = next(one for one in report.measures if one.name == "errors")
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - used,
        "answered": errors.n - (errors.successes or 0),
    }


def evaluated(url: str, suite: Path, out: Path) -> dict[str, Any]:
    """`evaluate` in a process of its own, with the seconds of the whole process as `command`."""
    began = time.perf_counter()
    command = [sys.executable, __file__, "--evaluate", url, str(suite), str(out)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {**json.loads(said.splitlines()[-1]), "command": time.perf_counter() - began}


def compared(url: str, folder: Path, rounds: int, requests: int) -> dict[str, Any]:
    """Both sides in turn, the first of each pair alternating."""
    asyncio.run(bare(url, [case["text"] for case in cases(100, 0)]))
    rows: list[dict[str, float]] = []
    for number in range(1, rounds + 1):
        asked = {side: cases(requests, 2 * number + side) for side in (0, 1)}
        suite = folder / f"suite{number}.jsonl"
        suite.write_text("\n".join(map(json.dumps, asked[1])) + "\n")
        row: dict[str, float] = {}
        for side in (0, 1) if number % 2 else (1, 0):
            if side == 0:
                row["bare"], tokens = asyncio.run(bare(url, [case["text"] for case in asked[0]]))
                assert tokens == TOKENS * requests, tokens
            else:
                found = evaluated(url, suite, folder / f"out{number}")
                assert found["answered"] == requests, found
                row |= {"evaluate": found["seconds"], "command": found["command"], "cpu": found["cpu_seconds"]}
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    return {
        "requests": requests,
        "tokens_per_request": TOKENS,
        "concurrency": CONCURRENCY,
        "rounds": rounds,
        **{f"{name}_seconds": spread([row[name] for row in rows]) for name in rows[0]},
        "ratio": spread([row["evaluate"] / row["bare"] for row in rows]),
        "ratio_command": spread([row["command"] / row["bare"] for row in rows]),
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median, lowest, highest."""
    found = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--evaluate", nargs=3, metavar=("URL", "SUITE", "OUT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.evaluate:
        url, suite, out = given.evaluate
        print(json.dumps(evaluate(url, Path(suite), Path(out))))
        return
    with tempfile.TemporaryDirectory(prefix="flyball-evaluation-") as name:
        folder = Path(name)
        release = tiny_release(project="bench", slots=CONCURRENCY, context=256)
        handle = started(release, folder, folder / ".flyball", SHAPE)
        try:
            print(json.dumps(compared(handle.url, folder, given.rounds, given.requests)))
        finally:
            engine_processes.stop_engine(handle, grace_s=5)


if __name__ == "__main__":
    main()
