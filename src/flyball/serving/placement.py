"""Whether one more engine fits into this machine's memory, asked before anything starts. I/O: reads headers, sizes.

The estimate is of what an embedded engine holds once its slots are full: its weights, keys and values of every slot in
16 bits, the work of one step, its vocabulary, and the process itself. The constants were fitted to measured engines of
0.1 to 128 MB of weights; tests/serving/test_placement.py measures again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from flyball.errors import EnvironmentMissing
from flyball.records import Release
from flyball.registry.gguf_header import Header, read_header
from flyball.serving.engines import adapter_file, model_file

PROCESS_BYTES = 36 * 1_048_576
_CELLS = 256
"""llama.cpp rounds the context of a slot up to as many tokens."""
_BYTES_OF_TOKEN = 200
_BYTES_OF_TOKEN_AND_SLOT = 20
_UNKNOWN_OVERHEAD = 1.5
"""For a model whose header does not say its shape."""


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

    Nothing for a server elsewhere; None where it is not known: a vLLM takes a share of its GPU that its flags say
    (gpu-memory-utilization), and refuses by itself what does not fit there.
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
) -> None:
    """EnvironmentMissing, with the choices, when the release does not fit beside what runs."""
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
