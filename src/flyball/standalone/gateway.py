"""`flyball gateway`: the gateway alone, without a project. I/O: a state folder, processes.

The state folder holds a key, a SQLite ledger and the sealed segments; an ingester beside the gateway moves records into
the ledger, so that requests, feedback and cost can be read there. It and further workers (`gateway.workers`) are
started again when they die.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from flyball.errors import InputError, RefusedError
from flyball.gateway.recording.ingester import ingest_once
from flyball.gateway.worker import run_gateway
from flyball.inference.http_client import answers, beside
from flyball.security.principals import load_keyring
from flyball.settings import proxy_for
from flyball.standalone.config import StandaloneConfig, read_config
from flyball.standalone.models import ModelListings
from flyball.standalone.routes import RoutesFile, described, front_routes, given
from flyball.standalone.state import ingest_context, keep_recording, open_state
from flyball.standalone.worker import WorkerSpec, secret_of, worker_context
from flyball.storage.routing import RoutingTable
from flyball.supervision.children import ChildKeeper
from flyball.supervision.ports import LOOPBACK, free_port


def front(
    upstreams: Sequence[str],
    *,
    upstream_keys: Sequence[str],
    config_file: Path | None,
    state: Path,
    host: str | None,
    port: int | None,
    ready: Callable[[str, list[str]], None],
) -> None:
    """Serve in front of servers until SIGTERM or ctrl-c; `ready` is told the URL and a line on each route."""
    config = configured(upstreams, upstream_keys, config_file)
    gateway = msgspec.structs.replace(
        config.gateway,
        host=host or config.gateway.host,
        port=config.gateway.port if port is None else port,
    )
    check_address(state, gateway.host)
    gateway = msgspec.structs.replace(gateway, port=free_port(gateway.host, gateway.port, "--port"))
    listings = ModelListings(secret_of, proxy_for)

    def routes_now() -> RoutingTable:
        now = configured(upstreams, upstream_keys, config_file)
        return front_routes(now, secret_of, proxy_for=proxy_for, listings=listings)

    table = front_routes(
        config, secret_of, proxy_for=proxy_for, listings=listings
    )  # whatever is wrong is said before anything is written
    spec = WorkerSpec(
        state=str(state.resolve()),
        gateway=gateway,
        cost=config.cost,
        settings=str(config_file.resolve()) if config_file else None,
    )
    ledger = open_state(state)
    context = worker_context(spec, ledger)
    keep_recording(state, gateway.recording)
    routes = RoutesFile(
        context.routes_path,
        table,
        config_file=config_file,
        again=routes_now,
        due=listings.due,
        wished=listings.forget,
    )
    children = ChildKeeper(commands(spec))
    url = f"http://{gateway.host}:{gateway.port}"
    threading.Thread(target=tell_when_ready, args=(url, partial(ready, url, described(table))), daemon=True).start()
    try:
        run_gateway(context, worker=0)
    finally:
        routes.stop()
        children.stop()
        ingest_once(ingest_context(state, gateway.recording, context.project_key, ledger))  # after its last pass
        ledger.close()


def configured(upstreams: Sequence[str], keys: Sequence[str], config_file: Path | None) -> StandaloneConfig:
    """The configuration file with the servers of the command line; InputError where both name some."""
    config = read_config(config_file)
    if not upstreams:
        return config
    if config.upstreams:
        raise InputError(
            f"--upstream and `upstreams:` in {config_file}", cure="name the servers in one of these places"
        )
    return msgspec.structs.replace(config, upstreams=given(upstreams, keys))


def commands(spec: WorkerSpec) -> dict[str, list[str]]:
    """The processes beside this one: what moves segments into the ledger, and further workers."""
    recording = msgspec.json.encode(spec.gateway.recording).decode()
    module, me = [sys.executable, "-m"], str(os.getpid())
    found = {"ingester": [*module, "flyball.standalone.ingester", spec.state, recording, me]}
    text = msgspec.json.encode(spec).decode()
    for worker in range(1, spec.gateway.workers):
        found[f"gateway-{worker}"] = [*module, "flyball.standalone.worker", str(worker), text, me]
    return found


def check_address(state: Path, host: str) -> None:
    """Refuse other machines while everybody would be an administrator."""
    if host in LOOPBACK:
        return
    if (state / "ledger.db").is_file():
        ledger = open_state(state)
        empty = load_keyring(ledger).empty
        ledger.close()
        if not empty:
            return
    raise RefusedError(
        f"binding to {host} without an API key would let anybody in",
        cure=f"create one first: flyball key create NAME --admin --state {state}",
    )


def tell_when_ready(url: str, ready: Callable[[], None]) -> None:
    gateway = beside(url, timeout_s=1.0)
    while not answers(gateway):
        time.sleep(0.05)
    ready()
