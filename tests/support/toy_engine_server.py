"""The server of a made-up kind of engine: OpenAI's API over one model file, one greeting as the answer."""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    greeting = ""
    ready_at = time.monotonic() + 0.3

    def do_GET(self) -> None:
        if self.path == "/ready":
            self._answer(200 if time.monotonic() > self.ready_at else 503, {})
        elif self.path == "/metrics":
            self._answer(200, {})
        else:
            self._answer(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        message = {"role": "assistant", "content": f"{self.greeting}, {body['messages'][-1]['content']}"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._answer(200, {"object": "chat.completion", "model": "toy", "choices": [choice], "usage": usage})

    def _answer(self, status: int, body: object) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        return


if __name__ == "__main__":
    model, port, Handler.greeting = sys.argv[1:]
    if Path(model).read_bytes()[:4] != b"GGUF":
        sys.exit(f"{model} is no model")
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
