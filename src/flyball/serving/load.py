"""How loaded an engine is, as it says itself in its metrics. I/O: HTTP."""

from __future__ import annotations

import http.client
from dataclasses import dataclass

from flyball.engines.catalog import KINDS

_RUNNING = tuple(name for kind in KINDS for name in kind.signs.running)
_WAITING = tuple(name for kind in KINDS for name in kind.signs.waiting)
_CACHE = tuple(name for kind in KINDS for name in kind.signs.cache)
"""Names of all kinds: a server elsewhere may be any of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Requests in work, requests that wait inside the engine, and the share of its cache in use where it says it."""

    running: int = 0
    waiting: int = 0
    cache_share: float | None = None


def parse_load(text: str) -> Load:
    """The load in a page of Prometheus metrics; lines of several models or processes are added up."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        name, _, value = line.replace("{", " {", 1).partition(" ")
        if name in (*_RUNNING, *_WAITING, *_CACHE):
            sums[name] = sums.get(name, 0.0) + _number(value)
    cache = next((sums[name] for name in _CACHE if name in sums), None)
    return Load(
        running=int(sum(sums.get(name, 0.0) for name in _RUNNING)),
        waiting=int(sum(sums.get(name, 0.0) for name in _WAITING)),
        cache_share=cache,
    )


def load_of(host: str, port: int, *, timeout_s: float) -> Load:
    """Ask an engine; OSError when no answer comes in time or it is none."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
    except http.client.HTTPException as error:
        raise ConnectionError(f"{host}:{port} speaks no HTTP: {error!r}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise ConnectionError(f"{host}:{port}/metrics answered {answer.status}")
    return parse_load(text)


def _number(value: str) -> float:
    try:
        return float(value.rpartition("}")[2].split()[0])
    except (ValueError, IndexError):
        return 0.0
