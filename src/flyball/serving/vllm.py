"""vLLM's command line for a release. Pure.

Flags of the release (`release.engine.flags`) are given as they are: `{"quantization": "fp8"}` becomes
`--quantization fp8`, true becomes the flag alone. What Flyball decides itself is refused there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flyball.errors import ConfigError
from flyball.inference.prompt_path import VLLM_ADAPTER, VLLM_BASE
from flyball.records import JSON, Release
from flyball.serving.command_engine import PORT

DECIDED = (
    *("model", "host", "port", "uds", "served-model-name", "max-model-len", "max-num-seqs", "chat-template", "api-key"),
    *("enable-lora", "lora-modules", "trust-remote-code"),
)
"""Flags that follow from the release, that say where it listens, or that would run code of a model's folder."""


def vllm_command(release: Release, *, model: Path, adapter: Path | None, program: Sequence[str]) -> tuple[str, ...]:
    """The whole command; its port is filled in when it starts. ConfigError for flags that are not for releases."""
    engine = release.engine
    command = [*program, str(model), "--host", "127.0.0.1", "--port", PORT, "--served-model-name", VLLM_BASE]
    command += ["--max-model-len", str(engine.context), "--max-num-seqs", str(engine.slots)]
    if adapter:
        command += ["--enable-lora", "--lora-modules", f"{VLLM_ADAPTER}={adapter}"]
    for name, value in sorted(engine.flags.items()):
        if name != "usd_per_million":  # what it costs is nothing to vLLM
            command += _flag(name, value)
    return tuple(command)


def bare_name(flag: str) -> str:
    """A flag's name however it is written: "--max_num_seqs" is "max-num-seqs"."""
    return flag.lstrip("-").replace("_", "-")


def _flag(name: str, value: JSON) -> list[str]:
    bare = bare_name(name)
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
