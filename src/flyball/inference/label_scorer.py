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
        vocabulary = read_vocabulary(folder)
        self._vectorizer = Vectorizer(vocabulary)
        self.labels = vocabulary.labels
        self._numpy, self._session = _session(folder / LINEAR, threads)
        self._check(folder, vocabulary.size)

    def __call__(self, text: str) -> list[float]:
        """The probability of each label, in the order of `labels`."""
        return self._probabilities(*self._vectorizer(text))

    def _probabilities(self, columns: list[int], values: list[float]) -> list[float]:
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

    def _check(self, folder: Path, features: int) -> None:
        """CorruptionError where the graph does not belong to the vocabulary: it has other columns or labels."""
        try:
            found = len(self._probabilities([features - 1], [1.0]))
        except Exception as error:  # the classes of onnxruntime's errors are no part of its API
            raise CorruptionError(f"{folder / LINEAR} cannot be loaded: {error}", cure="train it again") from error
        if found != len(self.labels):
            raise CorruptionError(
                f"{folder / LINEAR} cannot be loaded: it has {found} labels, its vocabulary {len(self.labels)}",
                cure="train it again",
            )


def _session(path: Path, threads: int) -> tuple[Any, Any]:
    try:
        import numpy
        import onnxruntime  # in the `onnx` extra only
    except ImportError as error:
        raise EnvironmentMissing("onnxruntime is not installed", cure='pip install "flyball[onnx]"') from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle engines leave the processors alone
    options.log_severity_level = 3  # errors only: it warns of devices that no model here asks for
    try:
        return numpy, onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the classes of onnxruntime's errors are no part of its API
        raise CorruptionError(f"{path} cannot be loaded: {error}", cure="train the model again") from error
