"""Whether one more engine finds the GPU memory that it will take. Pure.

vLLM takes a share of each of its GPUs, whatever the model, and ends at once where less is free: the same is asked here.
llama.cpp takes what weights, keys and values need, spread over all GPUs that it sees.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyball.errors import EnvironmentMissing
from flyball.records import JSON, Release
from flyball.serving.gpus import Gpu
from flyball.serving.vllm import bare_name

_SHARE_OF_GPU = 0.9
"""What vLLM takes of a GPU where its flags do not say; its newer versions take a little more."""
_ELSEWHERE = "another GPU (CUDA_VISIBLE_DEVICES); another host; or `flyball deploy --allow-downtime`, which ends the "


class NoRoom(EnvironmentMissing):
    """A machine, or its GPU, is too small for one more engine; the cure lists the choices."""

    code = "no_room"


def require_share(release: Release, gpus: Sequence[Gpu], *, replicas: int = 1, ended: float = 0.0) -> None:
    """NoRoom, with the choices, when the share of each GPU that a vLLM takes is not free.

    `ended`: the share that will be free besides. Nothing is asked where no GPU tells its memory, of a vLLM that is
    spread over several machines, nor of one that is told the size of its cache.
    """
    share = gpu_share(release)
    if not gpus or share is None or _flag(release, "distributed-executor-backend") == "ray":
        return
    count = _number(_flag(release, "tensor-parallel-size")) * _number(_flag(release, "pipeline-parallel-size"))
    if count > len(gpus):
        raise NoRoom(
            f"the release's vLLM is spread over {count} GPUs, {len(gpus)} can be used here",
            cure="lower tensor-parallel-size or pipeline-parallel-size in release.engine.flags",
        )
    for gpu in gpus[:count]:
        needed, free = share * replicas * gpu.total, gpu.free + ended * gpu.total
        if needed > free:
            each = f" in each of {replicas} replicas" if replicas > 1 else ""
            raise NoRoom(
                f"the release's vLLM takes {share:g} of GPU {gpu.index}{each}, {needed / 1e9:,.1f} GB, beside the "
                f"live one; {free / 1e9:,.1f} of {gpu.total / 1e9:,.1f} GB are free",
                cure="choose: a smaller gpu-memory-utilization in release.engine.flags, in both releases so that two "
                f"fit (0.45); fewer serving.replicas; {_ELSEWHERE}live one first",
            )


def require_gpu_bytes(needed: int, gpus: Sequence[Gpu], *, ended: int = 0) -> None:
    """NoRoom, with the choices, when all GPUs together have less than that free, with what `ended` held."""
    free = sum(gpu.free for gpu in gpus) + ended
    if needed > free:
        raise NoRoom(
            f"the release needs about {needed / 1e6:,.0f} MB of GPU memory beside the live one, "
            f"{free / 1e6:,.0f} MB are free",
            cure="choose: fewer serving.replicas, slots or a shorter context; a smaller package.quantization; "
            f"{_ELSEWHERE}live one first",
        )


def gpu_share(release: Release) -> float | None:
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
