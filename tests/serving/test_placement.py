"""Whether one more engine fits is asked before anything starts."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import ANY

import psutil
import pytest

from flyball.engines.kind import Need, Share
from flyball.errors import CorruptionError, EnvironmentMissing
from flyball.records import Release
from flyball.registry.gguf.header import read_header
from flyball.serving import engine_processes, placement
from flyball.serving.config import ServingConfig
from flyball.serving.engine_processes import EngineHandle
from flyball.serving.gpus import built_in_gpus, visible_gpus
from flyball.serving.placement import need_of, require_memory
from flyball.serving.processes import proportional_bytes
from tiny_gguf import tiny_release, write_tiny_gguf

ON_GPU = bool(built_in_gpus())


def free_on_gpus() -> int:
    return sum(gpu.free for gpu in visible_gpus()) if ON_GPU else 0


def needed(release: Release, artifact: Path) -> int:
    found = need_of(release, artifact)
    return found.of(2, mapped=False)


def test_a_release_that_does_not_fit_is_refused_with_the_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_gguf(tmp_path / "model.gguf")
    monkeypatch.setattr(placement, "built_in_gpus", lambda: ())
    enough = needed(tiny_release(), tmp_path)
    require_memory(tiny_release(), tmp_path, replicas=2, available=enough)
    with pytest.raises(EnvironmentMissing, match=r"needs about [\d,]+ MB beside the live one") as caught:
        require_memory(tiny_release(), tmp_path, replicas=2, available=enough - 1)
    for choice in ("replicas", "quantization", "adapter", "another host", "--allow-downtime"):
        assert choice in caught.value.cure
    weights = (tmp_path / "model.gguf").stat().st_size
    require_memory(tiny_release(), tmp_path, replicas=2, mapped=True, available=enough - weights)


def test_a_server_elsewhere_needs_no_memory_here_and_that_of_a_gpu_is_not_estimated(tmp_path: Path) -> None:
    require_memory(tiny_release(kind="openai"), tmp_path, available=0)
    require_memory(tiny_release(kind="vllm"), tmp_path, available=0)
    assert need_of(tiny_release(kind="openai"), tmp_path) == Need()
    found = need_of(tiny_release(kind="vllm"), tmp_path)
    assert found.of(2, mapped=False) == 0 and found.share == Share(of=0.9, smaller=ANY, fewer=ANY)


@pytest.mark.parametrize(
    ("hidden", "layers", "unused", "slots", "context", "quantized"),
    [
        (64, 2, 0, 4, 256, False),
        (512, 8, 0, 4, 512, True),
        (512, 4, 0, 8, 1024, False),
        (256, 2, 32_768, 8, 512, True),
        (1024, 4, 0, 2, 2048, True),
    ],
)
def test_the_estimate_is_within_a_quarter_of_what_a_full_engine_holds(
    tmp_path: Path, hidden: int, layers: int, unused: int, slots: int, context: int, quantized: bool
) -> None:
    path = tmp_path / "model.gguf"
    write_tiny_gguf(path, hidden=hidden, layers=layers, unused=unused, context=context, quantized=quantized)
    release = tiny_release(slots=slots, context=context)
    found = need_of(release, tmp_path, on_gpu=ON_GPU)
    free = free_on_gpus()
    with running(release, path, tmp_path) as handle:
        fill(handle.url, slots, min(context - 40, 600))
        held, on_gpu = psutil.Process(handle.pid).memory_info().rss, free - free_on_gpus()
    print(f"weights {path.stat().st_size / 1e6:.1f}, held {held / 1e6:.0f}, of GPUs {on_gpu / 1e6:.0f} MB: {found}")
    assert 0.75 < found.of(1, mapped=False) / held < 1.25
    assert not ON_GPU or 0.75 < found.gpu / on_gpu < 1.25


@pytest.mark.skipif(ON_GPU, reason="on a GPU each engine has weights of its own")
def test_two_engines_of_one_model_hold_its_weights_once(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "model.gguf", hidden=1024, layers=6)
    weights, release = path.stat().st_size, tiny_release(slots=1)
    with running(release, path, tmp_path) as first:
        alone = proportional_bytes(first.pid)
        with running(release, path, tmp_path) as second:
            both = proportional_bytes(first.pid) + proportional_bytes(second.pid)
    assert alone > weights > 100e6
    assert both - alone < 0.6 * weights  # the second one costs what is its own


def test_the_header_of_a_file_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "model.gguf", hidden=64, layers=3)
    header = read_header(path)
    assert header["general.architecture"] == "llama"
    assert (header["llama.block_count"], header["tokenizer.ggml.tokens.length"]) == (3, 260)
    for broken in (b"", b"GGUF", path.read_bytes()[:300], b"x" * 5000):
        path.write_bytes(broken)
        with pytest.raises(CorruptionError, match=r"model\.gguf is not a GGUF file"):
            read_header(path)


@contextmanager
def running(release: Release, model: Path, folder: Path) -> Iterator[EngineHandle]:
    handle = engine_processes.start_engine(
        release, release_name="a" * 64, artifact=model, run_dir=folder, log_dir=folder, config=ServingConfig()
    )
    try:
        yield engine_processes.wait_ready(handle, release, timeout_s=60)
    finally:
        engine_processes.stop_engine(handle, grace_s=0.5)


def fill(url: str, slots: int, size: int) -> None:
    """A long request to every slot at once."""

    def ask(_number: int) -> None:
        body = {"messages": [{"role": "user", "content": "x" * size}], "max_tokens": 4, "ignore_eos": True}
        request = urllib.request.Request(
            f"{url}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert answer.status == 200

    with ThreadPoolExecutor(slots) as pool:
        list(pool.map(ask, range(slots)))
