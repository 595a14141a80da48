"""One gateway worker: the listening socket, the paths, reloads, drain. I/O: sockets, signals.

Several workers may listen on one port (SO_REUSEPORT); each has its own connections, segments and numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final

import uvloop

from flyball.cost.limiter import Limiter
from flyball.errors import EnvironmentMissing
from flyball.gateway.authentication import Access, is_loopback
from flyball.gateway.completions import answer
from flyball.gateway.context import GatewayContext
from flyball.gateway.feedback import take_feedback
from flyball.gateway.http.coroutines import RequestCoroutine
from flyball.gateway.http.cors import Origins, is_preflight
from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.open_files import client_connections
from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.gateway.http.server import Connection, HttpServer
from flyball.gateway.infer import is_infer_path, take_inference
from flyball.gateway.metrics import Metrics
from flyball.gateway.metrics_pages import MetricsPages
from flyball.gateway.recording.endpoint_findings import EndpointFindings
from flyball.gateway.recording.segment_writer import SegmentWriter
from flyball.gateway.recording.unrecorded import Unrecorded
from flyball.gateway.recording.worker_locks import WorkerLock
from flyball.gateway.refusals import refuse
from flyball.gateway.request_limits import Limits
from flyball.gateway.request_parsing import Kind
from flyball.gateway.routing import Routes
from flyball.gateway.settings_reload import SettingsFile
from flyball.gateway.status_pages import MODELS, PAGES, is_model_path, models, show
from flyball.gateway.upstream.load_balancer import LoadBalancer
from flyball.gateway.worker_gauges import add_gauges
from flyball.gateway.worker_state import WorkerState
from flyball.records.identity import uuid7
from flyball.telemetry import log

THREADS_YIELD_S: Final = 0.0005
"""How long keys, leases and the disk's thread may keep requests waiting; Python's 5 ms would be seen in the p99."""
GARBAGE: Final = 10_000
"""New objects before Python looks for cycles among them: with its 700 that takes two percent of a worker's time."""
BUSY_TICK_S: Final = 0.05
IDLE_TICK_S: Final = 0.1
STANDSTILL_S: Final = 0.05
"""A tick so much too late means that the process was stopped; by what, it cannot know."""
LAST_REQUESTS_S: Final = 0.5
"""A worker that ends still answers what comes so much later: a client cannot know before it is told."""
SEND_BUFFER_BYTES: Final = 262_144
"""Of the kernel, per client: left to itself it takes megabytes for each client that does not read."""
_COMPLETIONS: dict[bytes, Kind] = {
    b"/v1/chat/completions": "chat",
    b"/v1/completions": "completion",
    b"/v1/embeddings": "embedding",
}
FEEDBACK: Final = b"/v1/feedback"
ROUTES: Final[dict[str, str]] = {
    **{path.decode(): "POST" for path in (*_COMPLETIONS, FEEDBACK, b"/v2/models/{model}/infer")},
    **{path.decode(): "GET" for path in (*PAGES, MODELS + b"/{model}")},
}
"""Every path that is answered, and by which method; docs/reference/openapi.yaml describes them."""
COMPILED = not __file__.endswith(".py")
"""Whether this is machine code (setup.py)."""


def run_gateway(context: GatewayContext, *, worker: int, on_ready: Callable[[int], None] = lambda _port: None) -> None:
    """Serve until SIGTERM or SIGINT, then drain; `on_ready` is told the port."""
    sys.setswitchinterval(THREADS_YIELD_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(context, worker, on_ready))


async def _run(context: GatewayContext, worker: int, on_ready: Callable[[int], None]) -> None:
    gateway = Gateway(context, worker=worker)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    on_ready(await gateway.start())
    gc.collect()
    gc.freeze()  # what start-up made stays: no need to look at it again
    gc.set_threshold(GARBAGE)  # requests leave hardly any cycles
    await stopped.wait()
    await gateway.stop()


class Gateway:
    """A worker that can be started and stopped inside a running loop."""

    def __init__(self, context: GatewayContext, *, worker: int) -> None:
        config = context.config
        metrics = Metrics(worker)
        access = Access(
            context.ledger,
            loopback=is_loopback(config.host),
            file=context.keyring_file,
            key=context.project_key,
        )
        access.check_binding(config.host)
        name = uuid7()  # never used again, so that what this process holds and writes is told from all others
        self.state = WorkerState(
            context=context,
            routes=Routes(context.routes_path),
            balancer=LoadBalancer(
                connect_timeout_s=config.connect_timeout_s,
                longest_pause_s=config.queue_timeout_s / 2,
                secrets=context.secrets,
                proxy_for=context.proxy_for,
                on_eject=metrics.ejections.add,
            ),
            access=access,
            limits=Limits(Limiter(context.ledger, worker=name)),
            writer=SegmentWriter(
                context.segments_dir,
                worker=name,
                project=context.project,
                seal_key=context.project_key.seal_key,
                writers=config.workers,
                max_disk_bytes=config.recording.max_disk_mb * 1_048_576,
            ),
            metrics=metrics,
            mac_key=context.project_key.mac_key,
            row_key=context.project_key.row_key,
            lifeline=WorkerLock(context.segments_dir, name),
            losses=Unrecorded(context.ledger, project=context.project, worker=name),
            troubles=EndpointFindings(context.ledger, project=context.project, worker=name),
        )
        self.edge = HttpServer(self._handle, max_body_bytes=config.max_body_bytes, max_connections=client_connections())
        self._server: asyncio.Server | None = None
        self._listener: socket.socket | None = None
        self._settings = SettingsFile(context.settings, config=config) if context.settings else None
        self._pages = MetricsPages(context.metrics_dir, worker, alone=config.workers == 1)
        self._ticks = 0
        self._due = float("inf")
        self._stood_still = False
        self._timer: asyncio.TimerHandle | None = None
        self._allow_origins()
        add_gauges(self.state, self.edge, compiled=COMPILED)

    def _allow_origins(self) -> None:
        self.edge.origins = self.state.access.origins = Origins(self.state.context.config.cors_origins)

    async def start(self) -> int:
        """Listen; the port."""
        loop = asyncio.get_running_loop()
        config = self.state.context.config
        self.state.routes.reload()
        if self.state.routes.table is not None:
            self.state.balancer.install(self.state.routes.table)
        self._listener = listener = _listener(config.host, config.port)
        self._server = await loop.create_server(lambda: Connection(self.edge), sock=listener, backlog=2048)
        self.state.access.start(lambda good: self.state.metrics.reloads.add("keys", "ok" if good else "failed"))
        self._tick()
        port: int = listener.getsockname()[1]
        log.info("gateway worker listens on %s:%d%s", config.host, port, ", compiled" if COMPILED else "")
        return port

    async def stop(self) -> None:
        """Accept no more, finish what is in flight within drain_s, cut the rest, make everything durable."""
        self.state.draining = True
        self.edge.drain()
        await self._close_listener()
        await self._finish(time.monotonic() + self.state.context.config.drain_s)
        for course in (*self.state.courses, *self.state.mirrors):
            course.cancel()
        for task in list(self.state.tasks):
            task.cancel()
        if self.state.tasks:
            await asyncio.wait(set(self.state.tasks), timeout=1.0)
        await asyncio.sleep(0)  # let the last writes leave
        if self._timer is not None:
            self._timer.cancel()
        self.edge.abort()
        self.state.balancer.close()
        await self.state.long_texts.close()
        self.state.access.stop()
        await self.state.limits.keeper.close()
        self.state.writer.close()
        if self.state.losses is not None:
            self.state.losses.close()
        if self.state.troubles is not None:
            self.state.troubles.close()
        if self.state.lifeline is not None:
            self.state.lifeline.let_go()
        self._pages.forget()

    async def _close_listener(self) -> None:
        """Stop listening; connections that the kernel has made already are taken first, or it would reset them."""
        if self._server is None or self._listener is None:
            return
        made, loop = [], asyncio.get_running_loop()
        with contextlib.suppress(OSError):  # none is left
            while True:
                made.append(self._listener.accept()[0])
        self._server.close()
        for client in made:
            client.setblocking(False)
            with contextlib.suppress(OSError):  # it has gone meanwhile
                await loop.connect_accepted_socket(lambda: Connection(self.edge), client)

    async def _finish(self, end: float) -> None:
        """Answer what is in flight and, for a moment, what is on its way; until `end` at most."""
        patience = min(time.monotonic() + LAST_REQUESTS_S, end)
        while (now := time.monotonic()) < end:
            if now >= patience:
                self.edge.close_idle()
            if not (self.state.busy or self.edge.unsent or self.edge.expecting):
                return
            await asyncio.sleep(0.01)

    # requests ----------------------------------------------------------------------------------------------------

    def _handle(self, exchange: Exchange) -> None:
        path = exchange.path.partition(b"?")[0]
        kind = _COMPLETIONS.get(path)
        if kind is None and exchange.method == b"POST" and is_infer_path(path):
            try:
                take_inference(self.state, exchange, path)
                kind = "chat"
            except HttpRefusal as refusal:
                self.state.metrics.refused.add(refusal.code)
                refuse(exchange, refusal)
                return
        if kind is not None and exchange.method == b"POST":
            started = RequestCoroutine(answer(self.state, exchange, kind), self._answered)
            self.state.courses.add(started)
            exchange.on_disconnect = started.cancel
            started.start()
        elif path == FEEDBACK and exchange.method == b"POST":
            self._begin(exchange, self._guarded(exchange, take_feedback(self.state, exchange)))
        elif is_model_path(path) and not self.state.routes.views:
            self._begin(exchange, self._guarded(exchange, models(self.state, exchange, path)))
        else:
            try:
                self._at_once(exchange, path)
            except HttpRefusal as refusal:
                refuse(exchange, refusal)

    def _at_once(self, exchange: Exchange, path: bytes) -> None:
        """What needs no engine: a browser that asks what it may do, a page, or that there is none."""
        origins = self.edge.origins
        if origins.on and is_preflight(exchange.method, exchange.headers):
            if not origins.allows(exchange.headers):
                where = exchange.headers[b"origin"].decode("latin-1")
                raise HttpRefusal(403, f"pages of {where} may not call (gateway.cors_origins)", code="foreign_origin")
            exchange.confirm(origins.preflight(exchange.headers))
        elif path in _COMPLETIONS or path == FEEDBACK or is_infer_path(path):
            message = "only POST is answered here"
            if is_preflight(exchange.method, exchange.headers):
                message += "; pages of other origins may call where gateway.cors_origins allows them"
            raise HttpRefusal(405, message, code="method_not_allowed", headers=(("allow", "POST"),))
        else:
            show(self.state, self._pages, exchange, path)

    def _answered(self, course: RequestCoroutine, bug: BaseException | None) -> None:
        self.state.courses.discard(course)
        if bug is not None:
            self._report(bug)

    def _begin(self, exchange: Exchange, course: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(course)
        exchange.on_disconnect = task.cancel
        self.state.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.state.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error)

    def _report(self, bug: BaseException) -> None:
        log.error("a request ended in an error of ours", exc_info=bug)
        self.state.metrics.errors.add()

    async def _guarded(self, exchange: Exchange, course: Coroutine[Any, Any, None]) -> None:
        try:
            await course
        except HttpRefusal as refusal:
            self.state.metrics.refused.add(refusal.code)
            refuse(exchange, refusal)

    # time --------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Time-outs, reloads and rotation; a bug here must not stop the clock.

        After a standstill of this process (a stalled disk, a frozen machine) one tick passes without any: answers have
        come meanwhile that nobody has read, and their engines were not late.
        """
        pause_s = BUSY_TICK_S if self.state.busy else IDLE_TICK_S
        self._timer = asyncio.get_running_loop().call_later(pause_s, self._tick)
        now = time.monotonic()
        late, self._due = now > self._due + STANDSTILL_S, now + pause_s
        self._stood_still = late and not self._stood_still
        if self._stood_still:
            return
        try:
            self._ticks += 1
            self.state.balancer.sweep()
            if self._ticks % 2 == 0 or not self.state.busy:
                self.state.reload_routes()
            if self._ticks % 10 == 0:
                self.edge.sweep()
                self.state.writer.tick()
                self._reload_settings()
                self._pages.keep(self.state.metrics.text)
        except Exception:  # noqa: BLE001 - the edge of a timer: the next tick must come
            log.exception("the gateway's clock stumbled")
            self.state.metrics.errors.add()

    def _reload_settings(self) -> None:
        if self._settings is None:
            return
        context, failed = self.state.context, self._settings.failed
        if (found := self._settings.changed(context.config)) is not None:
            config, cost = found
            self.state.context = replace(context, config=config, cost=cost)
            self._allow_origins()
            self.state.metrics.reloads.add("settings", "ok")
            log.info("the settings were read again")
        elif self._settings.failed and not failed:
            self.state.metrics.reloads.add("settings", "failed")


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise EnvironmentMissing(
            f"the gateway cannot listen on {host}:{port}: {error.strerror}",
            cure="stop what holds that port, or set gateway.port in flyball.yaml",
        ) from error
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit both on Linux
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    listener.setblocking(False)
    return listener
