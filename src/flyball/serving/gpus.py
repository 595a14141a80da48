"""The memory of this machine's NVIDIA GPUs, and whether the built-in engine uses them. I/O: nvidia-smi, Python.

Asked when something is to be deployed, never while requests are answered.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

_QUERY = ("--query-gpu=index,uuid,memory.total,memory.free", "--format=csv,noheader,nounits")
_MIB = 1_048_576
PATIENCE_S = 2.0
"""For each question: control asks both in one pass, within the five seconds of its lease."""
_LLAMA = """
import xllamacpp
for one in xllamacpp.get_device_info():
    if one["type"].name.endswith("_GPU"):
        print(one["name"], one["device_id"], one["memory_total"] >> 20, one["memory_free"] >> 20, sep=",")
"""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU: its index and id, and its memory in bytes."""

    index: str
    uuid: str
    total: int
    free: int


def visible_gpus(*, timeout_s: float = PATIENCE_S) -> tuple[Gpu, ...]:
    """Those that a server started here would see, in its order; none where nvidia-smi is not there or does not answer.

    CUDA_VISIBLE_DEVICES is followed as CUDA does: indices or (beginnings of) ids, up to the first that is unknown.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        done = subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=timeout_s, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    found = tuple(gpu for line in done.stdout.splitlines() if (gpu := _parsed(line)))
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    return found if wanted is None else _chosen(found, wanted)


def built_in_gpus(*, timeout_s: float = PATIENCE_S) -> tuple[Gpu, ...]:
    """Those that the llama.cpp which is installed here computes on: none with its usual build, which is for CPUs.

    It is asked in a process of its own: whoever asks a GPU holds hundreds of megabytes of it.
    """
    if not visible_gpus():
        return ()
    command = [sys.executable, "-c", _LLAMA]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(gpu for line in done.stdout.splitlines() if (gpu := _parsed(line)))


def _parsed(line: str) -> Gpu | None:
    """A line such as "0, GPU-3f1c…, 81559, 80994" (MiB); None for a GPU that does not tell its memory."""
    try:
        index, uuid, total, free = (part.strip() for part in line.split(","))
        return Gpu(index, uuid, int(total) * _MIB, int(free) * _MIB)
    except ValueError:
        return None


def _chosen(found: tuple[Gpu, ...], wanted: str) -> tuple[Gpu, ...]:
    chosen = []
    for name in (part.strip() for part in wanted.split(",")):
        gpu = next((one for one in found if one.index == name or (name and one.uuid.startswith(name))), None)
        if gpu is None:
            break
        chosen.append(gpu)
    return tuple(chosen)
