"""Whether one more engine fits into this machine's memory, asked before anything starts. I/O: headers, sizes, GPUs.

The estimate is of what an embedded engine holds once its slots are full: its weights, keys and values of every slot in
16 bits, the work of one step, its vocabulary, and the process itself. The constants were fitted to measured engines of
0.1 to 128 MB of weights; tests/serving/test_placement.py measures again.

vLLM takes a share of each of its GPUs, whatever the model, and ends at once where less is free: the same is asked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from flyball.errors import EnvironmentMissing
from flyball.records import JSON, Release
from flyball.registry.gguf_header import Header, read_header
from flyball.serving.engines import adapter_file, model_file
from flyball.serving.gpus import Gpu, visible_gpus
from flyball.serving.vllm import bare_name

PROCESS_BYTES = 36 * 1_048_576
_CELLS = 256
"""llama.cpp rounds the context of a slot up to as many tokens."""
_BYTES_OF_TOKEN = 200
_BYTES_OF_TOKEN_AND_SLOT = 20
_UNKNOWN_OVERHEAD = 1.5
"""For a model whose header does not say its shape."""
_SHARE_OF_GPU = 0.9
"""What vLLM takes of a GPU where its flags do not say; its newer versions take a little more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes that one engine holds: weights, which engines of one model share, and the rest, which is its own."""

    weights: int = 0
    own: int = 0

    def of(self, replicas: int, *, mapped: bool) -> int:
        """For all replicas; `mapped`: an engine that runs holds the weights already."""
        return replicas * self.own + (0 if mapped else self.weights)


def need_of(release: Release, artifact: Path, *, adapter: Path | None = None) -> Need | None:
    """About what an engine of a release will hold here.

    Nothing for a server elsewhere; None for vLLM, whose need of its machine's memory is not known.
    """
    if release.engine.kind == "openai":
        return Need()
    if release.engine.kind == "vllm":
        return None
    path = model_file(artifact, release)
    size, header = path.stat().st_size, read_header(path)
    own = PROCESS_BYTES + (adapter_file(adapter).stat().st_size if adapter else 0)
    kept = _kept(release, header)
    return Need(weights=size, own=own + (round(size * (_UNKNOWN_OVERHEAD - 1)) if kept is None else kept))


def _kept(release: Release, header: Header) -> int | None:
    """Keys, values, the work of a step and the vocabulary; None when the header lacks the shape."""
    family = header.get("general.architecture")

    def number(key: str) -> int:
        value = header.get(f"{family}.{key}")
        return value if isinstance(value, int) else 0

    layers, hidden, heads = number("block_count"), number("embedding_length"), number("attention.head_count")
    if not (layers and hidden and heads):
        return None
    key = number("attention.key_length") or hidden // heads
    value = number("attention.value_length") or hidden // heads
    engine = release.engine
    cells = engine.slots * -(-engine.context // _CELLS) * _CELLS
    cache = cells * layers * (number("attention.head_count_kv") or heads) * (key + value) * 2
    batch = engine.flags.get("batch")
    step = (batch if isinstance(batch, int) else 512) * 4 * (2 * number("feed_forward_length") + 6 * hidden)
    tokens = header.get("tokenizer.ggml.tokens.length", 0)
    vocabulary = int(tokens) * (_BYTES_OF_TOKEN + engine.slots * _BYTES_OF_TOKEN_AND_SLOT)
    return cache + step + vocabulary


def require_memory(
    release: Release,
    artifact: Path,
    *,
    replicas: int = 1,
    mapped: bool = False,
    adapter: Path | None = None,
    available: int | None = None,
    ending: Sequence[Release] = (),
) -> None:
    """EnvironmentMissing, with the choices, when the release does not fit beside what runs.

    `available`: bytes that are free, if not this machine's; `ending`: releases whose GPU memory will be free by then.
    """
    if release.engine.kind == "vllm":
        _require_gpus(release, visible_gpus(), replicas=replicas, ending=ending)
    need = need_of(release, artifact, adapter=adapter)
    if need is None:
        return
    needed = need.of(replicas, mapped=mapped)
    free = int(psutil.virtual_memory().available) if available is None else available
    if needed <= free:
        return
    shared = need.of(replicas, mapped=True)
    raise EnvironmentMissing(
        f"the release needs about {needed / 1e6:,.0f} MB beside the live one, {free / 1e6:,.0f} MB are free",
        cure="choose: fewer serving.replicas, slots or a shorter context; a smaller package.quantization; an adapter "
        f"or another prompt on the model that is live, whose weights are shared (about {shared / 1e6:,.0f} MB then); "
        "another host; or `flyball deploy --allow-downtime`, which ends the live one first",
    )


def _require_gpus(release: Release, gpus: Sequence[Gpu], *, replicas: int, ending: Sequence[Release]) -> None:
    """Nothing is asked where no GPU tells its memory, nor of a vLLM that is spread over several machines."""
    spread = _flag(release, "distributed-executor-backend") == "ray"
    share = _gpu_share(release)
    if not gpus or spread or share is None:
        return
    count = _number(_flag(release, "tensor-parallel-size")) * _number(_flag(release, "pipeline-parallel-size"))
    if count > len(gpus):
        raise EnvironmentMissing(
            f"the release's vLLM is spread over {count} GPUs, {len(gpus)} can be used here",
            cure="lower tensor-parallel-size or pipeline-parallel-size in release.engine.flags",
        )
    ended = replicas * sum(_gpu_share(one) or 0.0 for one in ending)
    for gpu in gpus[:count]:
        needed, free = share * replicas * gpu.total, gpu.free + ended * gpu.total
        if needed > free:
            each = f" in each of {replicas} replicas" if replicas > 1 else ""
            raise EnvironmentMissing(
                f"the release's vLLM takes {share:g} of GPU {gpu.index}{each}, {needed / 1e9:,.1f} GB, beside the "
                f"live one; {free / 1e9:,.1f} of {gpu.total / 1e9:,.1f} GB are free",
                cure="choose: a smaller gpu-memory-utilization in release.engine.flags, in both releases so that two "
                "fit (0.45); fewer serving.replicas; another GPU (CUDA_VISIBLE_DEVICES); another host; or "
                "`flyball deploy --allow-downtime`, which ends the live one first",
            )


def _gpu_share(release: Release) -> float | None:
    """What a vLLM takes of each of its GPUs; None where that cannot be known, or for another kind of engine."""
    if release.engine.kind != "vllm" or _flag(release, "kv-cache-memory-bytes") is not None:
        return None
    share = _flag(release, "gpu-memory-utilization")
    return float(share) if isinstance(share, int | float) else _SHARE_OF_GPU


def _flag(release: Release, name: str) -> JSON:
    """A flag of the release's vLLM, however it is written; None when it is not there."""
    return next((value for key, value in release.engine.flags.items() if bare_name(key) == name), None)


def _number(value: JSON) -> int:
    return value if isinstance(value, int) and value > 0 else 1
