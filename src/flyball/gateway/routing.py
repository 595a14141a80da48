"""Which release answers: the table of routes, re-read when it changes; units assigned to arms. I/O: one file.

Assignment is a keyed hash of the sticky unit into [0, 1). Candidates take the beginning of that line in table order and
the live arm the rest, so that a growing canary only ever takes units from live: nobody flips back and forth.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from flyball.errors import EnvironmentMissing, FlyballError, InputError
from flyball.gateway.envelope import HttpRefusal
from flyball.inference.prompt_path import PromptPath
from flyball.records.identity import content_hash
from flyball.storage.routing import Arm, Endpoint, Route, RoutingTable, load
from flyball.telemetry import log

_LAST = ("live",)


@dataclass(frozen=True, slots=True)
class ArmView:
    """An arm ready to use: its prompt path prepared, its bounds on the line from 0 to 1."""

    arm: Arm
    path: PromptPath | None
    upper: float
    release_header: bytes
    variant_header: bytes

    @property
    def key(self) -> str:
        """What its queue and its engines are kept under."""
        return self.arm.release  # also when it turns from previous to live: nobody who waits is sent off


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route ready to use."""

    route: Route
    arms: tuple[ArmView, ...]
    shadows: tuple[ArmView, ...]
    live: ArmView | None
    """The arm that others fall back on."""
    fallbacks: tuple[ArmView, ...]
    """What live itself falls back on, in this order: the release before it while its engines are hot, other servers."""

    def after(self, failed: Collection[str]) -> ArmView | None:
        """The arm that is trusted most of those that have not failed a request (by their keys)."""
        trusted = self.fallbacks if self.live is None else (self.live, *self.fallbacks)
        return next((view for view in trusted if view.key not in failed), None)

    def assign(self, unit: str) -> ArmView | None:
        """The arm of a sticky unit; None when no arm answers."""
        if len(self.arms) == 1:
            return self.arms[0]
        place = position(self.route.salt, unit)
        for view in self.arms:
            if place < view.upper:
                return view
        return self.live or (self.arms[-1] if self.arms else None)

    def forced(self, variant: str) -> ArmView:
        """The arm of a variant that a tester asks for."""
        for view in self.arms:
            if view.arm.variant == variant:
                return view
        known = ", ".join(view.arm.variant for view in self.arms)
        raise HttpRefusal(400, f"no variant {variant!r} on this route; there are: {known}", code="unknown_variant")


@lru_cache(maxsize=16_384)
def position(salt: str, unit: str) -> float:
    """Where a unit stands on the line from 0 to 1 of a route."""
    digest = hashlib.blake2b(unit.encode(), key=salt.encode()[:64], digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def view_of(route: Route, known: dict[str, PromptPath]) -> RouteView:
    """A route with candidates first, live last; prompt paths that are `known` already are kept."""
    answering = [arm for arm in route.arms if arm.variant != "shadow"]
    ordered = sorted(answering, key=lambda arm: arm.variant in _LAST)  # stable: otherwise in table order
    views, upper = [], 0.0
    for arm in ordered:
        upper += arm.weight
        views.append(_view(arm, known, upper))
    shadows = tuple(_view(arm, known, 0.0) for arm in route.arms if arm.variant == "shadow")
    live = next((view for view in views if view.arm.variant == "live"), None)
    fallbacks = tuple(view for view in views if view.arm.variant == "previous" and view.arm.endpoints)
    return RouteView(route, tuple(views), shadows, live, fallbacks)


def _view(arm: Arm, known: dict[str, PromptPath], upper: float) -> ArmView:
    release, variant = arm.release.encode(), arm.variant.encode()
    return ArmView(
        arm,
        _path(arm, known),
        upper,
        release_header=b"x-flyball-release: %b\r\n" % release,
        variant_header=b"x-flyball-variant: %b\r\n" % variant,
    )


def _path(arm: Arm, known: dict[str, PromptPath]) -> PromptPath | None:
    if arm.prompt_path is None:
        return None
    if arm.release not in known:
        known[arm.release] = PromptPath(arm.prompt_path)
    return known[arm.release]


class Routes:
    """The routes as they stand; `reload` replaces them whole or, on any error, keeps the last good ones."""

    def __init__(self, *, path: Path | None = None, table: RoutingTable | None = None) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._paths: dict[str, PromptPath] = {}
        self.table: RoutingTable | None = None
        self.views: dict[str, RouteView] = {}
        if table is not None:
            self._install(table)

    def reload(self) -> bool:
        """Re-read the file if it changed; True when there is a new table."""
        if self._path is None:
            return False
        try:
            status = self._path.stat()
        except OSError:
            return False  # nothing published yet, or its folder is gone: the last table goes on
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        try:
            self._install(load(self._path))
        except (FlyballError, OSError) as error:
            log.error("the routing table is not used, the last one goes on: %s", error)
            return False
        return True

    def _install(self, table: RoutingTable) -> None:
        views = {route.name: view_of(route, self._paths) for route in table.routes}
        self.table, self.views = table, views
        releases = {arm.release for route in table.routes for arm in route.arms}
        self._paths = {name: path for name, path in self._paths.items() if name in releases}

    def names(self) -> list[str]:
        """Every route, the default one first."""
        return [view.route.name for view in sorted(self.views.values(), key=lambda view: not view.route.default)]

    def find(self, model: str) -> RouteView:
        """The route of a `model` name; 404 with the known names otherwise."""
        view = self.views.get(model)
        if view is None:
            known = ", ".join(self.names()) or "none yet"
            raise HttpRefusal(
                404, f"the model {model!r} does not exist; known: {known}", code="model_not_found", param="model"
            )
        return view


def standalone_routes(
    upstreams: Sequence[str],
    models: list[str] | None,
    *,
    api_keys: Sequence[str] = (),
    secrets: Callable[[str], str] | None = None,
    slots: int = 64,
) -> RoutingTable:
    """Routes straight to OpenAI-compatible servers, for `flyball gateway --upstream URL`; the first is the default.

    A server answers what those before it could not. `models` None: the first is asked for its models. Each of
    `api_keys` is a reference that `secrets` turns into the key of the server at its place, and of no other.
    """
    if len(api_keys) > len(upstreams):
        raise InputError(
            f"{len(api_keys)} keys for {len(upstreams)} upstreams", cure="give one --upstream-key for each --upstream"
        )
    arms, bases = [], []
    for place, (url, key) in enumerate(zip_longest(upstreams, api_keys, fillvalue=None)):
        base = base_url(url or "")
        endpoint = Endpoint(id=f"upstream-{place + 1}" if place else "upstream", url=base, slots=slots, api_key=key)
        variant, weight = ("previous", 0.0) if place else ("live", 1.0)
        arms.append(Arm(release=content_hash(base.encode()), variant=variant, weight=weight, endpoints=(endpoint,)))
        bases.append(base)
    if len(set(bases)) < len(bases):
        raise InputError(f"an upstream is named twice: {', '.join(bases)}", cure="name each server once")
    first = arms[0].endpoints[0]
    names = models or served_models(first.url, secrets(first.api_key) if first.api_key and secrets else None)
    routes = tuple(Route(name=name, arms=tuple(arms), default=index == 0) for index, name in enumerate(names))
    return RoutingTable(version=1, project="standalone", routes=routes)


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
