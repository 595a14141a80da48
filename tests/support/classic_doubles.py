"""Doubles of classic model servers, written from their published APIs. They label by one word and stand for no product.

Each holds a model of three labels in versions 1 and 2, and can be told to hang, to break or to forget its model.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

LABELS = ("billing", "other", "refund")
SCORES = {"billing": (0.7, 0.2, 0.1), "other": (0.1, 0.8, 0.1), "refund": (0.05, 0.05, 0.9)}
Answer = tuple[int, Any]


def label_of(text: str) -> str:
    """By one word."""
    return "refund" if "refund" in text else "billing" if "invoice" in text else "other"


class ModelServerDouble(ThreadingHTTPServer):
    """What the doubles have in common: calls are noted, `hang_s` delays them, `broken` makes inference fail."""

    daemon_threads = True

    def __init__(self, *, loaded: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.loaded, self.broken, self.hang_s = loaded, False, 0.0
        self.calls, self.keys = list[str](), list[str | None]()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """Status and document for one call."""
        raise NotImplementedError

    def handle_error(self, *where: Any) -> None:
        """A client that has gone is no fault of the test."""


class OpenInferenceDouble(ModelServerDouble):
    """https://github.com/kserve/open-inference-protocol, and the model repository extension."""

    outputs = ("label", "scores")
    datatype = "BYTES"

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        if path == "/v2/repository/models/desk/load" and method == "POST":
            self.loaded = True
            return 200, None
        if path == "/v2/repository/models/desk/unload" and method == "POST":
            self.loaded = False
            return 200, None
        model = next((one for one in ("/v2/models/desk/versions/1", "/v2/models/desk") if path.startswith(one)), None)
        if model is None:
            return 404, {"error": f"Request for unknown model: {path}"}
        if not self.loaded:
            return 400, {"error": "Model version not ready"}
        match path.removeprefix(model):
            case "/ready":
                return 200, None
            case "":
                inputs = [{"name": "text", "datatype": "BYTES", "shape": [-1, 1]}, {"name": "k", "datatype": "INT32"}]
                return 200, {"name": "desk", "versions": ["1"], "inputs": inputs, "outputs": []}
            case "/infer" if method == "POST":
                return self.infer(json.loads(body))
        return 404, {"error": "not found"}

    def infer(self, asked: Any) -> Answer:
        assert asked["id"]  # KServe needs one
        (tensor,) = asked["inputs"]
        assert (tensor["name"], tensor["datatype"]) == ("text", "BYTES")
        if tensor["shape"] != [1, 1]:
            return 400, {"error": f"unexpected shape for input 'text': expected [1,1], got {tensor['shape']}"}
        if self.broken:
            return 500, {"error": "Stub process is not healthy."}
        label = label_of(tensor["data"][0])
        number: Any = label if self.datatype == "BYTES" else LABELS.index(label)
        given = {
            "label": {"name": "label", "datatype": self.datatype, "shape": [1, 1], "data": [[number]]},
            "scores": {"name": "scores", "datatype": "FP32", "shape": [1, 3], "data": list(SCORES[label])},
            "logits": {"name": "logits", "datatype": "FP32", "shape": [1, 3], "data": _logits(label)},
        }
        wanted = [one["name"] for one in asked.get("outputs", [])] or self.outputs
        return 200, {"model_name": "desk", "model_version": "1", "outputs": [given[name] for name in wanted]}


class TorchServeDouble(ModelServerDouble):
    """https://docs.pytorch.org/serve/management_api.html and inference_api.html; the real one is in the long tests."""

    form = "scores"

    def __init__(self, *, loaded: bool = True) -> None:
        super().__init__(loaded=loaded)
        self.workers = 1 if loaded else 0

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        path, _, query = path.partition("?")
        match method, path:
            case "POST", "/models":
                if self.loaded:
                    return 409, {"code": 409, "message": "Model version 1.0 is already registered for model desk"}
                assert parse_qs(query)["url"] == ["desk.mar"]
                self.loaded = True
            case "GET", "/models/desk/1.0" if self.loaded:
                workers = [{"id": f"{9000 + one}", "status": "READY"} for one in range(self.workers)]
                return 200, [{"modelName": "desk", "modelVersion": "1.0", "workers": workers}]
            case "PUT", "/models/desk/1.0" if self.loaded:
                self.workers = int(parse_qs(query)["min_worker"][0])
            case "DELETE", "/models/desk/1.0" if self.loaded:
                self.loaded, self.workers = False, 0
            case "PUT", "/models/desk/1.0/set-default" if self.loaded:
                pass
            case "POST", "/predictions/desk/1.0" if self.loaded:
                return self.predict(body)
            case _:
                return 404, {"code": 404, "type": "ModelNotFoundException", "message": "Model not found: desk"}
        return 200, {"status": "done"}

    def predict(self, body: bytes) -> Answer:
        if not self.workers:
            return 503, {"code": 503, "message": "Model desk has no worker to serve inference request."}
        label = label_of(body.decode())
        scores = dict(zip(LABELS, SCORES[label], strict=True))
        forms = {
            "scores": scores,
            "pairs": [[{"label": name, "score": score} for name, score in scores.items()]],
            "best": {label: scores[label]},
            "label": {"label": label, "scores": list(scores.values())},
            "list": list(scores.values()),
            "text": label,
        }
        return 200, forms[self.form]


class TensorFlowServingDouble(ModelServerDouble):
    """https://www.tensorflow.org/tfx/serving/api_rest; no registry has the server itself."""

    form = "scores"

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        names = ("/v1/models/desk/versions/1", "/v1/models/desk/labels/stable", "/v1/models/desk")
        model = next((one for one in names if path.startswith(one)), None)
        if model is None:
            return 404, {"error": "Could not find any versions of model None"}
        match method, path.removeprefix(model):
            case "GET", "":
                state = "AVAILABLE" if self.loaded else "LOADING"
                status = {"version": "1", "state": state, "status": {"error_code": "OK", "error_message": ""}}
                return 200, {"model_version_status": [status]}
            case "POST", ":predict":
                (instance,) = json.loads(body)["instances"]
                return 200, {"predictions": [self.predicted(instance)]}
            case "POST", ":classify":
                (example,) = json.loads(body)["examples"]
                label = label_of(example["text"])
                return 200, {"result": [[[str(at), score] for at, score in enumerate(SCORES[label])]]}
        return 404, {"error": "Malformed request"}

    def predicted(self, instance: Any) -> Any:
        label = label_of(instance["text"] if isinstance(instance, dict) else instance)
        scores = list(SCORES[label])
        return {"scores": scores, "label": label, "both": {"class": [label], "probabilities": scores}}[self.form]


def _logits(label: str) -> list[float]:
    return [math.log(one) + 3 for one in SCORES[label]]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ModelServerDouble

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        self.server.calls.append(f"{self.command} {self.path}")
        self.server.keys.append(self.headers["authorization"])
        time.sleep(self.server.hang_s)
        status, document = self.server.answer(self.command, self.path, body)
        raw = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, *words: Any) -> None:
        """Nothing: tests read what was called."""


@contextmanager
def running(double: ModelServerDouble) -> Iterator[ModelServerDouble]:
    """The double, answering until the block ends."""
    thread = threading.Thread(target=double.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield double
    finally:
        double.shutdown()
        double.server_close()
        thread.join()
