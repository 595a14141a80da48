"""Whether one more engine fits into this machine's memory, asked before anything starts. I/O: headers, sizes, GPUs.

What an engine needs is said by its kind (engines/), from what the files of its model say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil

from flyball.engines.catalog import kind_of
from flyball.engines.kind import ModelFiles, Need
from flyball.records import Release
from flyball.registry.gguf.header import read_header
from flyball.serving.engine_processes import adapter_file, model_file
from flyball.serving.gpu_room import NoRoom, require_gpu_bytes, require_share
from flyball.serving.gpus import built_in_gpus, visible_gpus


def need_of(release: Release, artifact: Path, *, adapter: Path | None = None, on_gpu: bool = False) -> Need:
    """About what an engine of a release will hold here; `on_gpu`: the built-in engine computes on a GPU."""
    kind = kind_of(release)
    if kind.loads != "gguf":
        size = sum(path.stat().st_size for path in artifact.rglob("*") if path.is_file()) if kind.loads else 0
        return kind.need(release.engine, ModelFiles(size=size), on_gpu=on_gpu)
    path = model_file(artifact, release)
    files = ModelFiles(
        size=path.stat().st_size,
        header=read_header(path),
        adapter_size=adapter_file(adapter).stat().st_size if adapter else 0,
    )
    return kind.need(release.engine, files, on_gpu=on_gpu)


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
    kind = kind_of(release)
    others = [found for one, _ in ending if (found := kind_of(one)).runs != "elsewhere"]
    another = any(other.name != kind.name for other in others)  # what it frees of a GPU is not known
    gpus = built_in_gpus() if kind.runs == "inside" else ()
    need = need_of(release, artifact, adapter=adapter, on_gpu=bool(gpus))
    ended = [need_of(one, path, on_gpu=bool(gpus)) for one, path in ending if kind_of(one) is kind]
    if need.share and not another:
        freed = sum(one.share.of for one in ended if one.share)
        require_share(need.share, visible_gpus(), replicas=replicas, ended=replicas * freed)
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
