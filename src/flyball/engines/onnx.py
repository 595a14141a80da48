"""onnxruntime, a server of Flyball's own on a linear model: the label of the last user message. Pure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from flyball.engines.config import StartedConfig
from flyball.engines.kind import PORT, Asked, EngineKind, ModelFiles, Need, Signs, Start
from flyball.records import EngineSettings, Release

PROCESS_BYTES = 120_000_000
"""What its process holds besides the model: Python, numpy and onnxruntime."""
_OF_THE_FILE = 3
"""Times the size of the model's files: the weights, and the vocabulary as Python's texts."""


class OnnxConfig(StartedConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="onnx"):
    """onnxruntime, started here on a model of train.method linear."""


class Onnx(EngineKind):
    """The server of linear models that comes with Flyball."""

    name = "onnx"
    config = OnnxConfig
    loads = "onnx"
    program = (sys.executable, "-m", "flyball.serving.label_server")
    signs = Signs(
        alive="/metrics",
        running=("onnx:requests_running",),
        damaged=("linear.onnx cannot be loaded", "vectorizer.json cannot be read"),
    )

    def asked(self, release: Release) -> Asked:
        """Nothing: the model gives one of its labels, whatever it is asked."""
        return Asked()

    def started(self, release: Release, *, model: Path, adapter: Path | None, program: Sequence[str]) -> Start:
        """The model's folder, a port, its threads."""
        return Start(command=(*program, str(model), PORT, str(release.engine.threads)))

    def need(self, engine: EngineSettings, files: ModelFiles, *, on_gpu: bool) -> Need:
        """By the size of its files, which each engine holds for itself."""
        return Need(own=PROCESS_BYTES + _OF_THE_FILE * files.size)


KIND = Onnx()
