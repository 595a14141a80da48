"""An OpenAI-compatible server that answers well until it is told to fail and stall: the bad release of the demo.

It stands in front of a real engine. Once `broken`, some requests get 500, some stall, and some streams are cut.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyServer:
    """Serves on a free loopback port from a thread until closed."""

    def __init__(self, engine_url: str, *, stall_s: float) -> None:
        self.engine_url, self.stall_s = engine_url, stall_s
        self.broken = False
        self.count = itertools.count()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        faulty = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_arguments: object) -> None:
                pass

            def do_GET(self) -> None:
                self.forward(None)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if not faulty.broken:
                    self.forward(body)
                    return
                match next(faulty.count) % 3:
                    case 0:
                        self.answer(500, b'{"error":{"message":"out of memory","type":"server_error"}}')
                    case 1:
                        time.sleep(faulty.stall_s)
                        self.close_connection = True
                    case _:
                        self.cut()

            def forward(self, body: bytes | None) -> None:
                request = urllib.request.Request(faulty.engine_url + self.path, data=body)
                request.add_header("content-type", "application/json")
                try:
                    with urllib.request.urlopen(request, timeout=30) as found:
                        self.answer(found.status, found.read(), found.headers.get("content-type"))
                except urllib.error.HTTPError as error:
                    self.answer(error.code, error.read())

            def answer(self, status: int, data: bytes, kind: str | None = "application/json") -> None:
                self.send_response(status)
                self.send_header("content-type", kind or "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def cut(self) -> None:
                """Begin a stream and break it off."""
                chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "re"}}]}).encode()
                data = b"data: " + chunk + b"\n\n"
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()
                self.close_connection = True

        return Handler
