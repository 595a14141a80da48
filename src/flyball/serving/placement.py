"""Whether one more engine fits into this machine's memory, asked before anything starts. I/O: headers, sizes, GPUs.

The estimate is of what an embedded engine holds once its slots are full: its weights, keys and values of every slot in
16 bits, the work of one step, its vocabulary, and the process itself. The constants were fitted to measured engines of
0.1 to 128 MB of weights; tests/serving/test_placement.py measures again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from flyball.records import Release
from flyball.registry.gguf.header import Header, read_header
from flyball.serving.engines import adapter_file, model_file
from flyball.serving.gpu_room import NoRoom, gpu_share, require_gpu_bytes, require_share
from flyball.serving.gpus import llama_gpus, visible_gpus

PROCESS_BYTES = 36 * 1_048_576
GPU_PROCESS_BYTES = 500 * 1_048_576
"""What a process that computes on a GPU holds of the machine's memory; weights, keys and values are on the GPU."""
GPU_BYTES = 704 * 1_048_576
"""What it holds of the GPU besides them: on an H100 with CUDA 13, 692 MiB for a model of 120,000 parameters at work."""
_CELLS = 256
"""llama.cpp rounds the context of a slot up to as many tokens."""
_BYTES_OF_TOKEN = 200
_BYTES_OF_TOKEN_AND_SLOT = 20
_UNKNOWN_OVERHEAD = 1.5
"""For a model whose header does not say its shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes that one engine holds: weights, which engines of one model share, and the rest, which is its own.

    `gpu`: what it holds of GPUs, where nothing is shared.
    """

    weights: int = 0
    own: int = 0
    gpu: int = 0

    def of(self, replicas: int, *, mapped: bool) -> int:
        """Of the machine's memory for all replicas; `mapped`: an engine that runs holds the weights already."""
        return replicas * self.own + (0 if mapped else self.weights)


def need_of(release: Release, artifact: Path, *, adapter: Path | None = None, on_gpu: bool = False) -> Need | None:
    """About what an engine of a release will hold here; `on_gpu`: llama.cpp computes on a GPU.

    Nothing for a server elsewhere; None for vLLM, whose need of its machine's memory is not known.
    """
    if release.engine.kind == "openai":
        return Need()
    if release.engine.kind == "vllm":
        return None
    path = model_file(artifact, release)
    size, header = path.stat().st_size, read_header(path)
    kept = _kept(release, header)
    if kept is None:
        kept = round(size * (_UNKNOWN_OVERHEAD - 1))
    kept += adapter_file(adapter).stat().st_size if adapter else 0
    if on_gpu:
        return Need(own=GPU_PROCESS_BYTES, gpu=GPU_BYTES + size + kept)
    return Need(weights=size, own=PROCESS_BYTES + kept)


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
    ending: Sequence[tuple[Release, Path]] = (),
) -> None:
    """NoRoom, with the choices, when the release does not fit beside what runs.

    `available`: bytes that are free, if not this machine's; `ending`: what will have ended by then, with its artefact.
    """
    kind = release.engine.kind
    another = any(one.engine.kind not in (kind, "openai") for one, _ in ending)  # what it frees of a GPU is not known
    if kind == "vllm":
        shares = [gpu_share(one) or 0.0 for one, _ in ending]
        if not another:
            require_share(release, visible_gpus(), replicas=replicas, ended=replicas * sum(shares))
        return
    gpus = llama_gpus() if kind == "llama.cpp" else ()
    need = need_of(release, artifact, adapter=adapter, on_gpu=bool(gpus)) or Need()
    ended = [need_of(one, path, on_gpu=bool(gpus)) or Need() for one, path in ending]
    needed = need.of(replicas, mapped=mapped)
    free = int(psutil.virtual_memory().available) if available is None else available
    free += sum(one.of(replicas, mapped=False) for one in ended)
    if needed > free:
        shared = need.of(replicas, mapped=True)
        raise NoRoom(
            f"the release needs about {needed / 1e6:,.0f} MB beside the live one, {free / 1e6:,.0f} MB are free",
            cure="choose: fewer serving.replicas, slots or a shorter context; a smaller package.quantization; an "
            "adapter or another prompt on the model that is live, whose weights are shared (about "
            f"{shared / 1e6:,.0f} MB then); another host; or `flyball deploy --allow-downtime`, which ends the live "
            "one first",
        )
    if gpus and not another:
        require_gpu_bytes(replicas * need.gpu, gpus, ended=replicas * sum(one.gpu for one in ended))
