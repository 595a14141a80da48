"""Whether one more engine finds the GPU memory that it will take. Pure.

An engine that takes a share of each of its GPUs, whatever the model, ends at once where less is free: the same is asked
here. Others take what weights, keys and values need, spread over all GPUs that they see.
"""

from __future__ import annotations

from collections.abc import Sequence

from flyball.engines.kind import Share
from flyball.errors import EnvironmentMissing
from flyball.serving.gpus import Gpu

_ELSEWHERE = "another GPU (CUDA_VISIBLE_DEVICES); another host; or `flyball deploy --allow-downtime`, which ends the "


class NoRoom(EnvironmentMissing):
    """A machine, or its GPU, is too small for one more engine; the cure lists the choices."""

    code = "no_room"


def require_share(share: Share, gpus: Sequence[Gpu], *, replicas: int = 1, ended: float = 0.0) -> None:
    """NoRoom, with the choices, when the share of each GPU that an engine takes is not free.

    `ended`: the share that will be free besides. Nothing is asked where no GPU tells its memory.
    """
    if not gpus:
        return
    if share.gpus > len(gpus):
        raise NoRoom(
            f"the release's engine is spread over {share.gpus} GPUs, {len(gpus)} can be used here", cure=share.fewer
        )
    for gpu in gpus[: share.gpus]:
        needed, free = share.of * replicas * gpu.total, gpu.free + ended * gpu.total
        if needed > free:
            each = f" in each of {replicas} replicas" if replicas > 1 else ""
            raise NoRoom(
                f"the release's engine takes {share.of:g} of GPU {gpu.index}{each}, {needed / 1e9:,.1f} GB, beside the "
                f"live one; {free / 1e9:,.1f} of {gpu.total / 1e9:,.1f} GB are free",
                cure=f"choose: {share.smaller}; fewer serving.replicas; {_ELSEWHERE}live one first",
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
