"""Whether an engine lives, without traffic: by a sign of life and by the work of its processes. I/O: HTTP, /proc.

A sign comes from the engine's main loop, between two steps of decoding. A step over a long prompt may take longer than
anybody wants to wait; then the processor tells a busy engine from a stalled one: a busy one uses it, or would.
"""

from __future__ import annotations

import http.client
import time
from urllib.parse import urlsplit

from flyball.addresses import shown
from flyball.engines.catalog import kind_named
from flyball.errors import UpstreamError
from flyball.inference.http_client import ServerAccess, client_of
from flyball.serving.engine_processes import EngineHandle
from flyball.serving.load import Load, parse_load
from flyball.serving.processes import work_of

LOOK_S = 1.5
ELSEWHERE_LOOK_S = 5.0
"""For somebody else's server, whose processor we cannot see."""
BUSY_SHARE = 0.1
"""Of one processor, in the time of a look: less than that is not work."""


class EngineBusy(UpstreamError):
    """It gave no sign of life in time, but it is at work."""


def look_at(handle: EngineHandle, way: ServerAccess | None = None) -> Load:
    """Ask for a sign of life; the load where the sign says it. `way`: how somebody else's server is reached.

    UpstreamError or OSError when no sign comes, EngineBusy when its processes are at work meanwhile.
    """
    if handle.pid == 0:
        return _elsewhere(handle, way)
    before, began = work_of(handle.processes), time.monotonic()
    try:
        return _sign(handle, LOOK_S)
    except TimeoutError as error:
        after, passed = work_of(handle.processes), time.monotonic() - began
        works = after.cpu_s - before.cpu_s >= BUSY_SHARE * passed or after.faults > before.faults
        if works or after.eager:
            raise EngineBusy(f"{handle.url} is busy", cure="it is looked at again") from error
        raise


def _elsewhere(handle: EngineHandle, way: ServerAccess | None) -> Load:
    """Any answer is a sign but one that says that the server itself fails: not all list their models."""
    client = client_of(handle.url, way, exact=handle.exact, timeout_s=ELSEWHERE_LOOK_S)
    try:
        status, body = client.get("/models")
    except http.client.HTTPException as error:
        raise UpstreamError(f"{shown(handle.url)} speaks no HTTP: {error!r}") from error
    finally:
        client.close()
    if status >= 500 and status != 501:
        raise UpstreamError(f"{shown(handle.url)} answered {status}")
    return parse_load(body.decode("utf-8", "replace"))


def _sign(handle: EngineHandle, timeout_s: float) -> Load:
    parts = urlsplit(handle.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path + kind_named(handle.kind).signs.alive)
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise UpstreamError(f"{handle.url} speaks no HTTP: {error!r}") from error
    finally:
        connection.close()
    if answer.status >= 500:
        raise UpstreamError(f"{handle.url} answered {answer.status}")
    return parse_load(body.decode("utf-8", "replace"))
