"""Speaks vLLM's command line, API and metric names, and answers nonsense: what tests start where vLLM would be.

It knows the flags that Flyball gives (any other ends it, as vLLM's parser would), loads for a moment while /health says
503, starts a second process as vLLM does, and can be told to hold memory.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, given: argparse.Namespace) -> None:
        super().__init__((given.host, given.port), Handler)
        adapters = [name.partition("=")[0] for name in given.lora_modules or ()]
        self.given, self.names = given, [given.served_model_name, *adapters]
        self.ready_at = time.monotonic() + 0.5
        self.running, self.held, self.lock = 0, bytearray(), threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200 if time.monotonic() > self.server.ready_at else 503, b"")
        elif self.path == "/v1/models":
            self._answer(200, json.dumps({"data": [{"id": name} for name in self.server.names]}).encode())
        elif self.path == "/metrics":
            label = f'{{engine="0",model_name="{self.server.names[0]}"}}'
            lines = [
                f"# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{label} {self.server.running}.0",
                f"vllm:num_requests_waiting{label} 0.0\nvllm:kv_cache_usage_perc{label} 0.25\n",
            ]
            self._answer(200, "\n".join(lines).encode())
        else:
            self._answer(404, b"{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body.get("model") not in self.server.names:
            message = f"The model `{body.get('model')}` does not exist."
            return self._answer(404, json.dumps({"error": {"message": message, "code": 404}}).encode())
        with self.server.lock:
            self.server.running += 1
        try:
            time.sleep(float(body.get("hold_s", 0)))
            self.server.held += b"x" * (int(body.get("hold_mb", 0)) << 20)
            choices = body.get("structured_outputs", {}).get("choice") or [f"said by {body['model']}"]
            message = {"role": "assistant", "content": choices[0]}
            usage = {"prompt_tokens": 3, "completion_tokens": 2}
            answer = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage, "asked": body}
            self._answer(200, json.dumps(answer).encode())
        finally:
            with self.server.lock:
                self.server.running -= 1

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("model")
    for name in ("host", "served-model-name"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("port", "max-model-len", "max-num-seqs", "max-num-batched-tokens"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--enable-lora", action="store_true")
    parser.add_argument("--enforce-eager", action="store_true")
    parser.add_argument("--gpu-memory-utilization", type=float)
    parser.add_argument("--lora-modules", nargs="*")
    given = parser.parse_args()
    if not (Path(given.model) / "config.json").is_file():
        sys.exit(f"OSError: {given.model} does not appear to have a file named config.json")
    core = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # vLLM's EngineCore
    print(f"INFO serving {given} with the core {core.pid}", flush=True)
    server = Server(given)
    signal.signal(signal.SIGTERM, lambda *_: (core.kill(), os._exit(0)))
    server.serve_forever()


if __name__ == "__main__":
    main()
