"""The first real request of each slot is as fast as later ones."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path

from flyball.inference.completions import HttpCompleter
from flyball.serving import engine_processes
from flyball.serving.config import ServingConfig
from tiny_gguf import tiny_release, write_tiny_gguf

SLOTS = 4


def test_slots_have_read_the_system_prompt_before_the_engine_is_ready(tmp_path: Path) -> None:
    prompt = "Answer politely. " * 40  # some 700 tokens of one letter each
    release = replace(tiny_release(slots=SLOTS, context=1024), system_prompt=prompt)
    handle = engine_processes.start_engine(
        release,
        release_name="a" * 64,
        artifact=write_tiny_gguf(tmp_path / "m.gguf", hidden=256, layers=8, context=1024),
        run_dir=tmp_path,
        log_dir=tmp_path,
        config=ServingConfig(),
    )
    handle = engine_processes.wait_ready(handle, release, timeout_s=60)
    completer = HttpCompleter(handle.url, release=release)
    try:
        first, later = (
            [seconds_of(completer, f"{what} {number}", number % SLOTS) for number in range(count)]
            for what, count in (("first", SLOTS), ("later", 3 * SLOTS))
        )
        cold = seconds_of(HttpCompleter(handle.url, release=replace(release, system_prompt="Q" + prompt)), "cold", 0)
    finally:
        completer.close()
        engine_processes.stop_engine(handle, grace_s=1)
    assert statistics.median(first) < 2 * statistics.median(later)
    assert statistics.median(first) < cold / 2  # what a client would wait for, were it not read before


def seconds_of(completer: HttpCompleter, text: str, slot: int) -> float:
    began = time.perf_counter()
    completer.complete({"messages": [{"role": "user", "content": text}], "max_tokens": 1, "id_slot": slot})
    return time.perf_counter() - began
