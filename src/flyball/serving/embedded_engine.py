"""llama.cpp's HTTP server inside this process, on a free port of 127.0.0.1. I/O: sockets, the model's file.

Weights are mapped from their file, so engines of one model on one machine share them in memory, with whatever adapter.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import xllamacpp

from flyball.serving.engine_spec import EngineSpec


class EmbeddedEngine:
    """One model, loaded, warmed up and listening when the constructor returns; RuntimeError when it cannot be."""

    def __init__(self, spec: EngineSpec) -> None:
        self._server: Any = xllamacpp.Server(parameters_of(spec))

    def url(self) -> str:
        """Where it listens."""
        return str(self._server.listening_address)

    def ended(self) -> str:
        """It ends with this process."""
        return ""

    def resident_bytes(self) -> int:
        """The memory of this process, with the pages of the model that it touched."""
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def is_busy(self) -> bool:
        """Whether requests are in work or wait."""
        lines = str(self._server.handle_metrics()).splitlines()
        return any(float(line.split()[1]) for line in lines if line.startswith("llamacpp:requests_"))

    def end(self, *, at_once: bool) -> None:
        """It ends with this process."""


def parameters_of(spec: EngineSpec) -> Any:
    """llama.cpp's parameters for a spec."""
    parameters: Any = xllamacpp.CommonParams()
    parameters.model.path = spec.model
    parameters.n_parallel = spec.slots
    parameters.n_ctx = spec.context * spec.slots
    parameters.n_batch = parameters.n_ubatch = spec.batch
    for threads in (parameters.cpuparams, parameters.cpuparams_batch):
        threads.n_threads = spec.threads
        threads.poll = 0  # no busy waiting
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0  # the system's choice: no race for ports
    parameters.endpoint_metrics = True  # answered by the main loop, so it tells a stalled engine from a busy one
    parameters.ui = False
    parameters.offline = True
    parameters.fit_params = False  # the release says the context; it is not to be made to fit
    parameters.cache_ram_mib = 0  # the default keeps up to 8 GB of old prompts
    parameters.n_ctx_checkpoints = 0  # and copies of the context
    parameters.verbosity = 1  # errors only: a line per request would fill the disk
    if spec.adapter:
        adapter: Any = xllamacpp.CommonAdapterLoraInfo()
        adapter.path, adapter.scale = spec.adapter, 1.0
        parameters.lora_adapters = [adapter]
    return parameters
