"""The figures of BENCHMARKS.md about the whole loop. Prints one JSON object as its last line.

    python bench/loop.py [--only demo,cli,serve,install,banking77]

`install` makes two fresh environments from this checkout and counts them; `banking77` needs FLYBALL_DATA. Nothing else
should run on the machine meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
FLYBALL = [sys.executable, "-m", "flyball"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    wanted = parser.parse_args().only.split(",")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        for name in wanted:
            print(f"▶ {name}", file=sys.stderr, flush=True)
            figures[name] = PARTS[name](Path(folder))
            print(json.dumps(figures[name], indent=1), file=sys.stderr, flush=True)
    print(json.dumps(figures))


def demo(_folder: Path) -> dict[str, Any]:
    """`make demo`: seconds and peak memory by step."""
    subprocess.run([sys.executable, str(ROOT / "demo/demo.py")], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    report: dict[str, Any] = json.loads((ROOT / "demo/report.json").read_text())
    return report


def cli(_folder: Path) -> dict[str, Any]:
    """Start-up of the command line: CPU and wall seconds, median of eleven; status needs the demo's project."""
    shop = ROOT / "demo/work/shop"
    figures = {"help": timed([*FLYBALL, "--help"], ROOT)}
    if shop.is_dir():
        figures["status"] = timed([*FLYBALL, "status"], shop)
    return figures


def timed(command: list[str], cwd: Path, runs: int = 11) -> dict[str, float]:
    wall, cpu = [], []
    for _ in range(runs):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
        wall.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    spread = f"{min(wall):.3f}–{max(wall):.3f}"
    return {"wall_s": round(statistics.median(wall), 3), "cpu_s": round(statistics.median(cpu), 3), "spread_s": spread}  # type: ignore[dict-item]


def serve(_folder: Path) -> dict[str, Any]:
    """`flyball up` on the demo's project: seconds to the first answer, and memory of all processes when idle."""
    shop = ROOT / "demo/work/shop"
    first, memory, processes = [], [], 0
    for _ in range(5):
        began = time.perf_counter()
        up = subprocess.Popen(
            [*FLYBALL, "up", "--port", "0", "--console-port", "0", "--json"],
            cwd=shop,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert up.stdout is not None
        gateway = json.loads(up.stdout.readline())["gateway"]
        while not ready(gateway):
            time.sleep(0.02)
        first.append(time.perf_counter() - began)
        time.sleep(5)
        found = [*psutil.Process(up.pid).children(recursive=True), psutil.Process(up.pid), *engines(shop)]
        memory.append(sum(process.memory_full_info().pss for process in found) / 1e6)
        processes = len(found)
        up.send_signal(signal.SIGINT)
        up.wait(60)
    return {
        "first_answer_s": round(statistics.median(first), 2),
        "first_answer_spread_s": f"{min(first):.2f}–{max(first):.2f}",
        "idle_mb": round(statistics.median(memory)),
        "idle_spread_mb": f"{min(memory):.0f}–{max(memory):.0f}",
        "processes": processes,
    }


def ready(gateway: str) -> bool:
    try:
        with urllib.request.urlopen(f"{gateway}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def engines(shop: Path) -> list[psutil.Process]:
    """Engines have sessions of their own: found by their files."""
    pids = [json.loads(path.read_text())["pid"] for path in (shop / ".flyball/run/engines").glob("*.json")]
    return [psutil.Process(pid) for pid in pids if pid]


def install(folder: Path) -> dict[str, Any]:
    """Packages and megabytes of a base and a full install, each in a fresh environment."""
    return {name: sized(folder / name, extras) for name, extras in (("base", ""), ("full", "[all]"))}


def sized(environment: Path, extras: str) -> dict[str, Any]:
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    pip = [str(environment / "bin/python"), "-m", "pip", "--disable-pip-version-check"]
    before = size_mb(environment)
    constraint = ["--constraint", str(ROOT / "constraints.txt")]
    if extras:
        subprocess.run([*pip, "install", "--quiet", *constraint, "torch"], check=True, stderr=subprocess.DEVNULL)
    subprocess.run([*pip, "install", "--quiet", *constraint, f"{ROOT}{extras}"], check=True, stderr=subprocess.DEVNULL)
    listed = subprocess.run([*pip, "list", "--format=json"], check=True, capture_output=True, text=True).stdout
    names = {package["name"] for package in json.loads(listed)} - {"pip", "setuptools"}
    return {"packages": len(names), "mb": round(size_mb(environment) - before)}


def size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


def banking77(folder: Path) -> dict[str, Any]:
    """`flyball run` on examples/banking77, from nothing: exact match in the engine, and seconds."""
    if "FLYBALL_DATA" not in os.environ:
        return {"skipped": "FLYBALL_DATA is not set"}
    project = folder / "banking77"
    shutil.copytree(ROOT / "examples/banking77", project, ignore=shutil.ignore_patterns(".*", "loop", "dvc.*"))
    began = time.perf_counter()
    done = subprocess.run([*FLYBALL, "run", "--json"], cwd=project, check=True, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - began
    made = json.loads(done.stdout)
    return {
        "exact_match": made["evaluation"]["metrics"]["test.exact_match"],
        "seconds": round(seconds, 1),
        "parameters": made["model"]["content"]["parameters"],
        "training_steps": made["training_run"]["content"]["steps"],
    }


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "demo": demo,
    "cli": cli,
    "serve": serve,
    "install": install,
    "banking77": banking77,
}

if __name__ == "__main__":
    main()
