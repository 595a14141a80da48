"""A gateway worker in a thread of the test, and raw access to its port."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import openai
import uvloop

from flyball.cost.config import CostConfig
from flyball.gateway.config import GatewayConfig, RecordingConfig
from flyball.gateway.context import GatewayContext, IngestContext
from flyball.gateway.recording.segment_format import Entry, RequestEntry, SegmentReader, TornHeader, decode
from flyball.gateway.worker import Gateway
from flyball.records import Constraint, EngineSettings, Release
from flyball.security.keys import ProjectKey
from flyball.standalone.config import StandaloneConfig
from flyball.standalone.routes import front_routes, given
from flyball.storage.ledger import Ledger
from flyball.storage.routing import Arm, Endpoint, Route, RoutingTable, publish
from mock_engine import MockEngine

KEY = ProjectKey(bytes(range(32)))
LIVE, CANARY = "1" * 64, "2" * 64
QUICK = GatewayConfig(
    connect_timeout_s=0.5,
    first_token_timeout_s=0.4,
    stall_timeout_s=0.4,
    total_timeout_s=5.0,
    queue_timeout_s=2.0,
    drain_s=2.0,
)


def endpoint(engine: MockEngine, *, slots: int = 8, id: str = "") -> Endpoint:
    return Endpoint(id=id or f"engine-{engine.port}", url=engine.url, slots=slots)


def arm(*engines: MockEngine, release: str = LIVE, variant: str = "live", weight: float = 1.0, slots: int = 8) -> Arm:
    points = tuple(endpoint(engine, slots=slots) for engine in engines)
    return Arm(release=release, variant=variant, weight=weight, endpoints=points)


def table(*arms: Arm, name: str = "shop", version: int = 1) -> RoutingTable:
    route = Route(name=name, arms=arms, default=True, salt="salt")
    return RoutingTable(version=version, project="shop", routes=(route,))


def in_front_of(*engines: Any) -> RoutingTable:
    """What `flyball gateway --upstream ONE --upstream OTHER` serves."""
    config = StandaloneConfig(upstreams=given([engine.url for engine in engines], []), models=("shop",))
    return front_routes(config, secrets={}.__getitem__)


def release(**changes: Any) -> Release:
    base = Release(
        project="shop",
        task="classification",
        model="m" * 64,
        adapter=None,
        artifact="model.gguf",
        chat_template="",
        system_prompt=None,
        examples=(),
        sampling={},
        constraint=Constraint(kind="labels", labels=("refund", "delivery")),
        input_redaction="default",
        guardrails=(),
        engine=EngineSettings(kind="llama.cpp", context=512, slots=4, threads=1, flags={}),
    )
    return replace(base, **changes)


class RunningGateway:
    """One worker on a port of its own; `routes` are published to a file, as control does."""

    def __init__(
        self,
        folder: Path,
        routes: RoutingTable,
        *,
        ledger: Ledger | None = None,
        config: GatewayConfig | None = None,
        worker: int = 0,
        keyring_file: Path | None = None,
    ) -> None:
        self.folder = folder
        self.routes_path = folder / "routes.json"
        publish(self.routes_path, routes)
        config = config or GatewayConfig()
        self.context = GatewayContext(
            config=msgspec.structs.replace(config, port=0),
            cost=CostConfig(),
            project="shop",
            routes_path=self.routes_path,
            segments_dir=folder / "segments",
            project_key=KEY,
            ledger=ledger,
            keyring_file=keyring_file,
            metrics_dir=folder / "metrics",
        )
        self.port = 0
        self.worker = worker
        self.gateway: Gateway | None = None
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._told = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> RunningGateway:
        self._thread.start()
        assert self._started.wait(20), "the gateway did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.stop_later()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the gateway did not stop"

    def stop_later(self) -> None:
        """Tell it once: it may end at any moment after that, and a loop that is closed can be told nothing."""
        if not self._told:
            assert self._loop is not None and self._stop is not None
            self._told = True
            self._loop.call_soon_threadsafe(self._stop.set)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.gateway = Gateway(self.context, worker=self.worker)
        self.port = await self.gateway.start()
        self._started.set()
        await self._stop.wait()
        await self.gateway.stop()

    # use ---------------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def client(self, key: str = "none", **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0, **options)

    def raw(self, request: bytes, *, timeout_s: float = 10.0) -> bytes:
        """Send bytes, read until the gateway closes or nothing comes for a moment."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            connection.sendall(request)
            return receive(connection)

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of one POST."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return split(self.raw(head_of("POST", path, {**headers, "content-length": str(len(data))}) + data))

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
        return split(self.raw(head_of("GET", path, headers)))

    def options(self, path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
        return split(self.raw(head_of("OPTIONS", path, headers)))

    def entries(self) -> list[Entry]:
        """Everything in the segments."""
        found: list[Entry] = []
        for path in sorted((self.folder / "segments").glob("*.seg")):
            try:
                reader = SegmentReader(path, seal_key=KEY.seal_key)
            except TornHeader:
                continue  # it is just being made
            found += [decode(frame.plain) for frame in reader.frames(0) if frame.plain is not None]
            reader.close()
        return found

    def requests(self) -> list[RequestEntry]:
        return [entry for entry in self.entries() if isinstance(entry, RequestEntry)]

    def ingest_context(self, ledger: Ledger) -> IngestContext:
        return IngestContext(
            recording=RecordingConfig(),
            project="shop",
            segments_dir=self.folder / "segments",
            project_key=KEY,
            ledger=ledger,
        )


def head_of(method: str, path: str, headers: dict[str, str]) -> bytes:
    """A request without its body, on a connection of its own."""
    all_headers = {"host": "localhost", "connection": "close", **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in all_headers.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()


def receive(connection: socket.socket) -> bytes:
    parts = []
    with connection:
        while True:
            try:
                data = connection.recv(65536)
            except (TimeoutError, ConnectionResetError):
                break
            if not data:
                break
            parts.append(data)
    return b"".join(parts)


def split(answer: bytes) -> tuple[int, dict[str, str], Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    try:
        document = json.loads(body)
    except ValueError:
        document = body
    return int(first.split(" ")[1]), headers, document


def chat(text: str = "where is my parcel?", **fields: Any) -> dict[str, Any]:
    return {"model": "shop", "messages": [{"role": "user", "content": text}], **fields}
