"""The routes of a gateway without a project: which of the configured servers answers which model. I/O: HTTP, one file.

A route is a model's name as clients send it. The servers that have the model answer in the order in which they are
named, each what those before it could not; what a server calls the model itself goes into the request.
"""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from flyball.errors import EnvironmentMissing, FlyballError, InputError
from flyball.records.identity import content_hash, short
from flyball.storage.routing import Arm, Endpoint, Route, RoutingTable, publish, stamp_of
from flyball.telemetry import log
from flyball.workflows.front_config import FrontConfig, Upstream
from flyball.workflows.front_state import PROJECT

LOOK_S = 0.5


def front_routes(config: FrontConfig, secrets: Callable[[str], str]) -> RoutingTable:
    """The table that a configuration means; InputError for a contradiction, EnvironmentMissing for a silent server.

    An upstream without `models` has those of the whole configuration, else those that the first such upstream lists.
    `secrets` turns a reference into the key that it names.
    """
    if not config.upstreams:
        raise InputError("no upstream is named", cure="give --upstream URL, or `upstreams:` in the configuration file")
    bases = [base_url(upstream.url) for upstream in config.upstreams]
    if len(set(bases)) < len(bases):
        raise InputError(f"an upstream is named twice: {', '.join(bases)}", cure="name each server once")
    keys = [secrets(upstream.key) if upstream.key else None for upstream in config.upstreams]
    open_to_all = [place for place, upstream in enumerate(config.upstreams) if not upstream.models]
    shared = list(config.models)
    if open_to_all and not shared:
        shared = served_models(bases[open_to_all[0]], keys[open_to_all[0]])
    arms: dict[str, list[Arm]] = {}
    for place, (upstream, base) in enumerate(zip(config.upstreams, bases, strict=True)):
        names = upstream.models or shared
        if unknown := upstream.usd_per_million.keys() - set(names):
            raise InputError(
                f"{upstream.url} has a price for {', '.join(sorted(unknown))}, which it does not serve",
                cure="name prices as clients name the models",
            )
        for name in names:
            arm = _arm(upstream, base, place, name, first=name not in arms)
            arms.setdefault(name, []).append(arm)
    routes = tuple(
        Route(name=name, arms=tuple(found), default=not place) for place, (name, found) in enumerate(arms.items())
    )
    return RoutingTable(version=1, project=PROJECT, routes=routes)


def _arm(upstream: Upstream, base: str, place: int, name: str, *, first: bool) -> Arm:
    model = upstream.models[name] if isinstance(upstream.models, dict) else None
    endpoint = Endpoint(
        id=f"upstream-{place + 1}" if place else "upstream", url=base, slots=upstream.slots, api_key=upstream.key
    )
    return Arm(
        release=content_hash((f"{base}\n{model}" if model else base).encode()),
        variant="live" if first else "previous",
        weight=1.0 if first else 0.0,
        endpoints=(endpoint,),
        model=model,
        usd_per_million=upstream.usd_per_million.get(name),
    )


def described(table: RoutingTable) -> list[str]:
    """A line on each route: the model and who answers, in this order, each with the release that answers name."""
    return [f"{route.name} → {', then '.join(map(_described, route.arms))}" for route in table.routes]


def _described(arm: Arm) -> str:
    model = f" as {arm.model}" if arm.model else ""
    return f"{arm.endpoints[0].url}{model} ({short(arm.release)})"


def given(upstreams: Sequence[str], keys: Sequence[str]) -> tuple[Upstream, ...]:
    """Upstreams of a command line, where the key at a place is that of the server at this place and of no other."""
    if len(keys) > len(upstreams):
        raise InputError(
            f"{len(keys)} keys for {len(upstreams)} upstreams", cure="give one --upstream-key for each --upstream"
        )
    padded = [*keys, *[None] * len(upstreams)]
    return tuple(Upstream(url=url, key=key) for url, key in zip(upstreams, padded, strict=False))


def base_url(upstream: str) -> str:
    """An upstream's URL without /v1; InputError for what is none."""
    parts = urlsplit(upstream)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"{upstream!r} is no upstream URL", cure="give one such as http://127.0.0.1:8000")
    return upstream.rstrip("/").removesuffix("/v1")


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


def served_models(base: str, api_key: str | None) -> list[str]:
    """The models that an OpenAI-compatible server offers; EnvironmentMissing when it does not say."""
    request = urllib.request.Request(
        f"{base}/v1/models", headers={"authorization": f"Bearer {api_key}"} if api_key else {}
    )
    try:
        with urllib.request.urlopen(request, timeout=5.0) as answer:
            names = [model.id for model in msgspec.json.decode(answer.read(), type=_Models).data]
    except (OSError, http.client.HTTPException, urllib.error.URLError, msgspec.MsgspecError) as error:
        raise EnvironmentMissing(
            f"{base} does not list its models: {error}", cure="start it first, check its key, or name the models"
        ) from error
    if not names:
        raise EnvironmentMissing(f"{base} serves no model", cure="load one there, or name the models")
    return names


class RoutesFile:
    """The published table, which follows the configuration file while the gateway serves.

    `again` makes the table anew when the file changed; what is wrong then is logged, and the last table goes on.
    """

    def __init__(
        self, path: Path, table: RoutingTable, *, config_file: Path | None, again: Callable[[], RoutingTable]
    ) -> None:
        self._path, self._table, self._again = path, table, again
        self._stopping = threading.Event()
        self._stamp = stamp_of(config_file) if config_file else None
        publish(path, table)
        self._thread = threading.Thread(target=self._follow, args=(config_file,), name="routes", daemon=True)
        if config_file is not None:
            self._thread.start()

    def stop(self) -> None:
        """Follow no more, and remove the table."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._path.unlink(missing_ok=True)

    def _follow(self, config_file: Path) -> None:
        while not self._stopping.wait(LOOK_S):
            stamp = stamp_of(config_file)
            if stamp is not None and stamp != self._stamp:
                self._stamp = stamp
                self._renew()

    def _renew(self) -> None:
        try:
            wanted = self._again()
            if wanted.routes == self._table.routes:
                return
            wanted = msgspec.structs.replace(wanted, version=self._table.version + 1)
            publish(self._path, wanted)
            self._table = wanted
        except (FlyballError, OSError) as error:
            log.error("the upstreams are not used, the last ones go on: %s", error)
            return
        log.info("the upstreams were read anew")
