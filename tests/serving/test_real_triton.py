"""A real Triton whose model's process dies: it says that the model is ready, and is loaded again."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.engines.open_inference import KIND
from flyball.errors import UpstreamError
from flyball.inference.http_client import ServerAccess
from flyball.serving.classic_client import ClassicClient
from flyball.serving.classic_server import Standing
from real_triton import add_version, is_installed, triton

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not is_installed(), reason="no Triton here: make model-servers"),
]
MODEL = '''
import os

import numpy
import triton_python_backend_utils as triton


class TritonPythonModel:
    """Labels by one word; another one ends its process."""

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        text = triton.get_input_tensor_by_name(request, "text").as_numpy().ravel()[0].decode()
        if text == "die":
            os._exit(1)
        scores = numpy.array([0.1, 0.9] if "refund" in text else [0.8, 0.2], dtype=numpy.float32)
        label = numpy.array([b"refund" if "refund" in text else b"billing"], dtype=object)
        return triton.InferenceResponse([triton.Tensor("label", label), triton.Tensor("scores", scores)])
'''


def test_a_model_whose_process_has_died_is_gone_whatever_triton_says(tmp_path: Path) -> None:
    add_version(tmp_path / "repository", "desk", 1, MODEL, labels=2)
    with triton(tmp_path / "repository", tmp_path) as url:
        settings = KIND.settings(
            {"url": url, "model": "desk", "version": "1", "load": True, "labels": ["billing", "refund"]}
        )
        client = ClassicClient(KIND, settings, ServerAccess())
        standing = Standing(client)
        assert client.unready()
        standing.come_up()
        assert not standing.unready() and client.label("a refünd refund").probabilities == pytest.approx([0.1, 0.9])
        with pytest.raises(UpstreamError):
            client.label("die")
        assert client.unready() == ""
        looks = [standing.gone() for _ in range(3)]
        assert looks[:2] == ["", ""] and "is not healthy" in looks[2]
        again = Standing(client)  # as in the process that is started next
        again.come_up()
        assert not again.unready() and client.label("my bill").name == "billing"
