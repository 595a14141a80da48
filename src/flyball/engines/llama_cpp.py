"""llama.cpp, which runs inside the process that watches over it: a GGUF file, slots, GBNF grammars. Pure.

The memory that it takes: weights, keys and values of every slot in 16 bits, the work of one step, its vocabulary, and
the process itself. The constants were fitted to measured engines of 0.1 to 128 MB of weights;
tests/serving/test_placement.py measures again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from flyball.engines.config import StartedConfig
from flyball.engines.gbnf import labels_grammar
from flyball.engines.kind import Asked, EngineKind, Fields, ModelFiles, Need, Signs, Start
from flyball.records import JSON, EngineSettings, Release

PROCESS_BYTES = 36 * 1_048_576
GPU_PROCESS_BYTES = 500 * 1_048_576
"""What a process that computes on a GPU holds of the machine's memory; weights, keys and values are on the GPU."""
GPU_BYTES = 704 * 1_048_576
"""What it holds of the GPU besides them: on an H100 with CUDA 13, 692 MiB for a model of 120,000 parameters at work."""
BATCH = 512
"""Tokens of one step where the release does not say."""
_CELLS = 256
"""It rounds the context of a slot up to as many tokens."""
_BYTES_OF_TOKEN = 200
_BYTES_OF_TOKEN_AND_SLOT = 20
_UNKNOWN_OVERHEAD = 1.5
"""For a model whose header does not say its shape."""
_TOGETHER_TOKENS = 4


class LlamaCppConfig(StartedConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="llama.cpp"):
    """llama.cpp, started here on the model's GGUF file; also where no kind is named."""

    batch: Annotated[int, Meta(ge=32, description="Tokens of one step over all slots; null: 512.")] | None = None


class LlamaCppSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a release holds of it."""

    batch: int | None = None


class LlamaCpp(EngineKind):
    """The engine that comes with Flyball."""

    name = "llama.cpp"
    config = LlamaCppConfig
    runs = "inside"
    loads = "gguf"
    applies = "gguf-lora"
    signs = Signs(
        alive="/metrics",  # answered by its main loop, so it tells a stalled engine from a busy one
        running=("llamacpp:requests_processing",),
        waiting=("llamacpp:requests_deferred",),
        cache=("llamacpp:kv_cache_usage_ratio",),
        damaged=("corrupt", "invalid magic", "failed to load model", "not within the file bounds"),
    )

    def stored(self, config: LlamaCppConfig) -> dict[str, JSON]:
        """The batch, where it is set."""
        found: dict[str, JSON] = msgspec.to_builtins(LlamaCppSettings(batch=config.batch))
        return found

    def settings(self, engine: EngineSettings) -> LlamaCppSettings:
        """What a release says."""
        return msgspec.convert(engine.flags, LlamaCppSettings)

    def knows_tools(self, config: LlamaCppConfig, chat_template: str) -> bool:
        """Where the model's template writes them."""
        return "tools" in chat_template

    def asked(self, release: Release) -> Asked:
        """Labels as a grammar, decoded greedily."""
        if release.constraint.kind != "labels":
            return Asked()
        return Asked(fields={"grammar": labels_grammar(release.constraint.labels), "temperature": 0})

    def started(self, release: Release, *, model: Path, adapter: Path | None, program: Sequence[str]) -> Start:
        """Without a command: inside the process."""
        return Start(batch=self.settings(release.engine).batch)

    def need(self, engine: EngineSettings, files: ModelFiles, *, on_gpu: bool) -> Need:
        """From the header of the model's file."""
        kept = self._kept(engine, files.header)
        if kept is None:
            kept = round(files.size * (_UNKNOWN_OVERHEAD - 1))
        kept += files.adapter_size
        if on_gpu:
            return Need(own=GPU_PROCESS_BYTES, gpu=GPU_BYTES + files.size + kept)
        return Need(weights=files.size, own=PROCESS_BYTES + kept)

    def _kept(self, engine: EngineSettings, header: Mapping[str, Any]) -> int | None:
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
        cells = engine.slots * -(-engine.context // _CELLS) * _CELLS
        cache = cells * layers * (number("attention.head_count_kv") or heads) * (key + value) * 2
        batch = self.settings(engine).batch or BATCH
        step = batch * 4 * (2 * number("feed_forward_length") + 6 * hidden)
        tokens = header.get("tokenizer.ggml.tokens.length", 0)
        vocabulary = int(tokens) * (_BYTES_OF_TOKEN + engine.slots * _BYTES_OF_TOKEN_AND_SLOT)
        return cache + step + vocabulary

    def warm_up(self, release: Release) -> tuple[Sequence[Fields], Sequence[Fields]]:
        """Each slot keeps the beginning that it saw last: once it has read the release's system prompt, the first
        request of a client takes no longer than the later ones. Then all at once: their first common batch is slow too.
        """
        slots = release.engine.slots
        if slots == 1:
            return ({"max_tokens": 1},), ()
        first = [{"id_slot": slot, "max_tokens": 1} for slot in range(slots)]
        return first, [{"id_slot": slot, "max_tokens": _TOGETHER_TOKENS} for slot in range(slots)]


KIND = LlamaCpp()
