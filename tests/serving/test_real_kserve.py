"""A real KServe ModelServer speaks the Open Inference Protocol without versions and without metadata of its inputs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flyball.engines.open_inference import KIND
from flyball.errors import UpstreamError
from flyball.inference.http_client import ServerAccess
from flyball.serving.classic_client import ClassicClient
from flyball.supervision.ports import any_port

PYTHON = Path(__file__).parents[2] / ".peers" / "kserve" / "bin" / "python"
MODEL = Path(__file__).parents[1] / "support" / "kserve_model.py"
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not PYTHON.is_file(), reason="no KServe here: make model-servers"),
]


def client(url: str, **more: Any) -> ClassicClient:
    settings = KIND.settings({"url": url, "model": "desk", "labels": ["billing", "refund"], **more})
    return ClassicClient(KIND, settings, ServerAccess())


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port, log = any_port(), tmp_path_factory.mktemp("kserve") / "log"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("wb") as output:
        server = subprocess.Popen([PYTHON, MODEL, str(port)], stdout=output, stderr=output, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while client(address).unready():
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def test_scores_alone_give_the_label(url: str) -> None:
    found = client(url, input="text").label("I want a refünd: refund")
    assert (found.name, list(found.probabilities)) == ("refund", pytest.approx([0.1, 0.9]))
    assert client(url, input="text").label("my invoice").name == "billing"


def test_what_it_does_not_know_is_told(url: str) -> None:
    with pytest.raises(UpstreamError, match=r"not one input of BYTES; its inputs: none"):
        client(url).require_label()
    assert "501" in client(url, version="1").unready()
    with pytest.raises(UpstreamError, match="answered 4"):
        client(url, model="till").require_label()
