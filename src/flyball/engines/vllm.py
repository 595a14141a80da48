"""vLLM, a server of its own that is started here: its command line, GPU share, structured outputs. Pure.

Flags of the release (`release.engine.flags`) are given as they are: `{"quantization": "fp8"}` becomes
`--quantization fp8`, true becomes the flag alone. What Flyball decides itself is refused there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from flyball.engines.config import StartedConfig
from flyball.engines.kind import PORT, Asked, EngineKind, ModelFiles, Need, Share, Signs, Start
from flyball.errors import ConfigError
from flyball.records import JSON, EngineSettings, Release

DECIDED = (
    *("model", "host", "port", "uds", "served-model-name", "max-model-len", "max-num-seqs", "chat-template", "api-key"),
    *("enable-lora", "lora-modules", "trust-remote-code"),
)
"""Flags that follow from the release, that say where it listens, or that would run code of a model's folder."""
SHARE_OF_GPU = 0.9
"""What it takes of a GPU where its flags do not say; its newer versions take a little more."""
QUIET = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""It reports on its use by default; here it does so only where the environment asks for it."""
_BASE, _ADAPTER = "base", "adapter"
"""The names under which it serves its model, and an adapter on it."""
_OLD_PRICES = "usd_per_million"
"""Stands among the flags of releases from before; what it costs is nothing to vLLM."""
_FEWER = "lower tensor-parallel-size or pipeline-parallel-size in release.engine.flags"
_SMALLER = "a smaller gpu-memory-utilization in release.engine.flags, in both releases so that two fit (0.45)"


class VllmConfig(StartedConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="vllm"):
    """vLLM, started here on the model's safetensors."""

    flags: Annotated[
        dict[str, str | int | float | bool],
        Meta(description="Further flags of its server, such as {quantization: fp8}."),
    ] = msgspec.field(default_factory=dict)


class Vllm(EngineKind):
    """A vLLM that is installed on this machine."""

    name = "vllm"
    config = VllmConfig
    applies = "peft-lora"
    program = ("vllm", "serve")
    signs = Signs(
        running=("vllm:num_requests_running",),
        waiting=("vllm:num_requests_waiting",),
        cache=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),  # the second before its version 0.10
    )

    def stored(self, config: VllmConfig) -> dict[str, JSON]:
        """Its flags as they are."""
        return dict(config.flags)

    def knows_tools(self, config: VllmConfig, chat_template: str) -> bool:
        """Only where it is told how to take calls out of an answer."""
        return "tool-call-parser" in map(_bare, config.flags)

    def asked(self, release: Release) -> Asked:
        """The name of the model, and labels as a choice among its structured outputs, decoded greedily."""
        fields: dict[str, JSON] = {"model": _ADAPTER if release.adapter else _BASE}
        if release.constraint.kind == "labels":
            fields |= {"structured_outputs": {"choice": list(release.constraint.labels)}, "temperature": 0}
        return Asked(fields=fields)

    def started(self, release: Release, *, model: Path, adapter: Path | None, program: Sequence[str]) -> Start:
        """The whole command; its port is filled in when it starts. ConfigError for flags that are not for releases."""
        engine = release.engine
        command = [*program, str(model), "--host", "127.0.0.1", "--port", PORT, "--served-model-name", _BASE]
        command += ["--max-model-len", str(engine.context), "--max-num-seqs", str(engine.slots)]
        if adapter:
            command += ["--enable-lora", "--lora-modules", f"{_ADAPTER}={adapter}"]
        for name, value in sorted(engine.flags.items()):
            if name != _OLD_PRICES:
                command += _written(name, value)
        return Start(command=tuple(command), environment=QUIET)

    def need(self, engine: EngineSettings, files: ModelFiles, *, on_gpu: bool) -> Need:
        """A share of each of its GPUs; nothing is known of one that is told the size of its cache, or of several
        machines.
        """
        flags = {_bare(name): value for name, value in engine.flags.items()}
        if flags.get("kv-cache-memory-bytes") is not None or flags.get("distributed-executor-backend") == "ray":
            return Need()
        share = flags.get("gpu-memory-utilization")
        gpus = _count(flags.get("tensor-parallel-size")) * _count(flags.get("pipeline-parallel-size"))
        of = float(share) if isinstance(share, int | float) else SHARE_OF_GPU
        return Need(share=Share(of=of, gpus=gpus, smaller=_SMALLER, fewer=_FEWER))


KIND = Vllm()


def _bare(flag: str) -> str:
    """A flag's name however it is written: "--max_num_seqs" is "max-num-seqs"."""
    return flag.lstrip("-").replace("_", "-")


def _written(name: str, value: JSON) -> list[str]:
    bare = _bare(name)
    if bare in DECIDED:
        raise ConfigError(
            f"release.engine.flags names {name}, which Flyball sets itself",
            cure="leave it out; context, slots and adapter are keys of release and release.engine",
        )
    if value is True:
        return [f"--{bare}"]
    if value is False or value is None:
        return []
    if isinstance(value, str | int | float):
        return [f"--{bare}", str(value)]
    raise ConfigError(f"release.engine.flags.{name} is {value!r}", cure="give a text, a number, true or false")


def _count(value: JSON) -> int:
    return value if isinstance(value, int) and value > 0 else 1
