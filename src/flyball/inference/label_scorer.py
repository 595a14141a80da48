"""A linear model's labels and their probabilities, through onnxruntime. I/O: reads a model's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flyball.errors import CorruptionError, EnvironmentMissing
from flyball.inference.text_features import Vectorizer, read_vocabulary

LINEAR = "linear.onnx"


class LabelScorer:
    """One model, loaded; threads may share it.

    EnvironmentMissing without onnxruntime, NotFoundError and CorruptionError for a folder without a whole model.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        self._vectorizer = Vectorizer(read_vocabulary(folder))
        self.labels = self._vectorizer.labels
        self._numpy, self._session = _session(folder / LINEAR, threads)

    def __call__(self, text: str) -> list[float]:
        """The probability of each label, in the order of `labels`."""
        columns, values = self._vectorizer(text)
        given = {
            "columns": self._numpy.array(columns, dtype="int64"),
            "values": self._numpy.array(values, dtype="float32").reshape(-1, 1),
        }
        found: list[float] = self._session.run(["probabilities"], given)[0].tolist()
        return found

    def label(self, text: str) -> str:
        """The likeliest label; of two that are equally likely the first."""
        found = self(text)
        return self.labels[found.index(max(found))]


def _session(path: Path, threads: int) -> tuple[Any, Any]:
    try:
        import numpy
        import onnxruntime  # in the `onnx` extra only
    except ImportError as error:
        raise EnvironmentMissing("onnxruntime is not installed", cure='pip install "flyball[onnx]"') from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    try:
        return numpy, onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the classes of onnxruntime's errors are no part of its API
        raise CorruptionError(f"{path} cannot be loaded: {error}", cure="train the model again") from error
