"""The routes of a gateway without a project: which of the configured servers answers which model. I/O: HTTP, one file.

A route is a model's name as clients send it. The servers that have the model answer in the order in which they are
named, each what those before it could not; what a server calls the model itself goes into the request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from flyball.addresses import normal, reach_of, shown
from flyball.errors import FlyballError, InputError
from flyball.inference.http_client import resolved, tls_context
from flyball.records.identity import content_hash, short
from flyball.standalone.config import StandaloneConfig, Upstream
from flyball.standalone.models import ModelListings
from flyball.standalone.state import PROJECT
from flyball.storage.routing import Arm, Endpoint, Route, RoutingTable, publish, stamp_of, wish_of
from flyball.telemetry import log

LOOK_S = 0.1
WISH_S = 2.0


def front_routes(
    config: StandaloneConfig,
    secrets: Callable[[str], str],
    *,
    proxy_for: Callable[[str], str | None] | None = None,
    listings: ModelListings | None = None,
) -> RoutingTable:
    """The table that a configuration means; InputError for a contradiction, EnvironmentMissing for silent servers.

    An upstream without `models` has those of the whole configuration, else those that it lists (front_models.py).
    `secrets` turns a reference into the key that it names.
    """
    points = endpoints_of(config)
    for point in points:
        _check(point, secrets, proxy_for)
    open_to_all = _open(config, points)
    listings = listings or ModelListings(secrets, proxy_for)
    listed = listings.models(open_to_all)
    arms: dict[str, list[Arm]] = {}
    for upstream, point in zip(config.upstreams, points, strict=True):
        names = upstream.models or config.models or listed[point]
        if point not in listed and (unknown := upstream.usd_per_million.keys() - set(names)):
            raise InputError(
                f"{shown(upstream.url)} has a price for {', '.join(sorted(unknown))}, which it does not serve",
                cure="name prices as clients name the models",
            )
        for name in names:
            arm = _arm(upstream, point, name, first=name not in arms)
            arms.setdefault(name, []).append(arm)
    if not arms:
        raise listings.problem()
    routes = tuple(
        Route(name=name, arms=tuple(found), default=not place) for place, (name, found) in enumerate(arms.items())
    )
    return RoutingTable(version=1, project=PROJECT, routes=routes, listed=bool(open_to_all))


def endpoints_of(config: StandaloneConfig) -> list[Endpoint]:
    """The servers as tables hold them, in the order of the configuration; InputError for a contradiction."""
    if not config.upstreams:
        raise InputError("no upstream is named", cure="give --upstream URL, or `upstreams:` in the configuration file")
    points = [_endpoint(upstream, place) for place, upstream in enumerate(config.upstreams)]
    names = [(point.url, point.exact, point.reach and point.reach.query) for point in points]
    if len(set(names)) < len(names):
        raise InputError(
            f"an upstream is named twice: {', '.join(shown(point.url) for point in points)}",
            cure="name each server once",
        )
    return points


def _open(config: StandaloneConfig, points: Sequence[Endpoint]) -> list[Endpoint]:
    if config.models:
        return []
    return [point for upstream, point in zip(config.upstreams, points, strict=True) if not upstream.models]


def _check(point: Endpoint, secrets: Callable[[str], str], proxy_for: Callable[[str], str | None] | None) -> None:
    """Say what is wrong with a key, a proxy or a certificate before anything is served."""
    target = resolved(
        point.url, exact=point.exact, key=point.api_key, reach=point.reach, secrets=secrets, proxy_for=proxy_for
    )
    if target.secure and point.reach is not None:
        tls_context(point.reach)


def _endpoint(upstream: Upstream, place: int) -> Endpoint:
    url, exact = normal(upstream.url)
    files = {
        name: str(Path(value).expanduser().resolve())
        for name in ("ca_file", "client_cert", "client_key")
        if (value := getattr(upstream, name))
    }
    return Endpoint(
        id=f"upstream-{place + 1}" if place else "upstream",
        url=url,
        slots=upstream.slots,
        api_key=upstream.key,
        exact=exact,
        reach=reach_of(msgspec.structs.replace(upstream, **files), source=shown(url)),
    )


def _arm(upstream: Upstream, point: Endpoint, name: str, *, first: bool) -> Arm:
    model = upstream.models[name] if isinstance(upstream.models, dict) else None
    server = f"exact {point.url}" if point.exact else point.url
    return Arm(
        release=content_hash((f"{server}\n{model}" if model else server).encode()),
        variant="live" if first else "previous",
        weight=1.0 if first else 0.0,
        endpoints=(point,),
        model=model,
        usd_per_million=upstream.usd_per_million.get(name),
    )


def described(table: RoutingTable) -> list[str]:
    """A line on each route: the model and who answers, in this order, each with the release that answers name."""
    return [f"{route.name} → {', then '.join(map(_described, route.arms))}" for route in table.routes]


def _described(arm: Arm) -> str:
    model = f" as {arm.model}" if arm.model else ""
    return f"{shown(arm.endpoints[0].url)}{model} ({short(arm.release)})"


def given(upstreams: Sequence[str], keys: Sequence[str]) -> tuple[Upstream, ...]:
    """Upstreams of a command line, where the key at a place is that of the server at this place and of no other."""
    if len(keys) > len(upstreams):
        raise InputError(
            f"{len(keys)} keys for {len(upstreams)} upstreams", cure="give one --upstream-key for each --upstream"
        )
    padded = [*keys, *[None] * len(upstreams)]
    return tuple(Upstream(url=url, key=key) for url, key in zip(upstreams, padded, strict=False))


class RoutesFile:
    """The published table, which follows the configuration file and what servers list while the gateway serves.

    `again` makes the table again when the file changed, when `due` says so, or when a worker wishes for a model that
    none has (the file `wish_of`); what is wrong then is logged, and the last table goes on.
    """

    def __init__(
        self,
        path: Path,
        table: RoutingTable,
        *,
        config_file: Path | None,
        again: Callable[[], RoutingTable],
        due: Callable[[], bool] = lambda: False,
        wished: Callable[[], None] | None = None,
    ) -> None:
        self._path, self._table, self._again = path, table, again
        self._config_file, self._due, self._wished = config_file, due, wished
        self._stopping = threading.Event()
        self._stamp = stamp_of(config_file) if config_file else None
        self._wish = stamp_of(wish_of(path))
        self._wish_at = 0.0
        publish(path, table)
        self._thread = threading.Thread(target=self._follow, name="routes", daemon=True)
        if config_file is not None or wished is not None:
            self._thread.start()

    def stop(self) -> None:
        """Follow no more, and remove the table."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(1.0)  # it may be asking a server that hangs
        self._path.unlink(missing_ok=True)
        wish_of(self._path).unlink(missing_ok=True)

    def _follow(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                if self._changed() or self._wanted() or self._due():
                    self._renew()
            except Exception:  # noqa: BLE001 - the edge of a thread: the next look must come
                log.exception("the upstreams could not be looked at")

    def _changed(self) -> bool:
        stamp = stamp_of(self._config_file) if self._config_file else None
        if stamp is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        return True

    def _wanted(self) -> bool:
        """Whether a worker wishes for a model; at most once in WISH_S, whatever clients ask for."""
        now = time.monotonic()
        if self._wished is None or now - self._wish_at < WISH_S:
            return False
        stamp = stamp_of(wish_of(self._path))
        if stamp is None or stamp == self._wish:
            return False
        self._wish, self._wish_at = stamp, now
        self._wished()
        return True

    def _renew(self) -> None:
        try:
            wanted = self._again()
            if self._stopping.is_set() or (wanted.routes, wanted.listed) == (self._table.routes, self._table.listed):
                return
            wanted = msgspec.structs.replace(wanted, version=self._table.version + 1)
            publish(self._path, wanted)
            self._table = wanted
        except (FlyballError, OSError) as error:
            log.error("the upstreams are not used, the last ones go on: %s", error)
            return
        log.info("the upstreams were read again")
