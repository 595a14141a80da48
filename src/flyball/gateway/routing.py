"""Which release answers: the table of routes, re-read when it changes; units assigned to arms. I/O: one file.

Assignment is a keyed hash of the sticky unit into [0, 1). Candidates take the beginning of that line in table order and
the live arm the rest, so that a growing canary only ever takes units from live: nobody flips back and forth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flyball.errors import FlyballError
from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.inference.prompt_path import PromptPath
from flyball.security.permissions import may
from flyball.security.principals import Principal
from flyball.storage.routing import Arm, Route, RoutingTable, Stamp, load, stamp_of
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
    key: str
    """What its queue and what is known of its engines are kept under."""


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
    trusted: tuple[ArmView, ...]
    """The arms that others fall back on, most trusted first."""
    interchangeable: bool
    """Bare servers of one model: whichever has room may answer. Of releases each answers for itself."""

    def after(self, failed: Collection[str]) -> ArmView | None:
        """The arm that is trusted most of those that have not failed a request (by their keys)."""
        return next((view for view in self.trusted if view.key not in failed), None)

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
        views.append(_view(route, arm, known, upper))
    shadows = tuple(_view(route, arm, known, 0.0) for arm in route.arms if arm.variant == "shadow")
    live = next((view for view in views if view.arm.variant == "live"), None)
    fallbacks = tuple(view for view in views if view.arm.variant == "previous" and view.arm.endpoints)
    bare = bool(fallbacks) and all(view.path is None for view in views)
    trusted = fallbacks if live is None else (live, *fallbacks)
    return RouteView(route, tuple(views), shadows, live, fallbacks, trusted, interchangeable=bare)


def arm_key(route: Route, arm: Arm) -> str:
    """The release, of a bare server with the model that it is asked for.

    It stays when an arm turns from previous to live: nobody who waits is sent off.
    """
    return arm.release if arm.prompt_path is not None else f"{arm.release}:{arm.model or route.name}"


def _view(route: Route, arm: Arm, known: dict[str, PromptPath], upper: float) -> ArmView:
    release, variant = arm.release.encode(), arm.variant.encode()
    return ArmView(
        arm,
        _path(arm, known),
        upper,
        release_header=b"x-flyball-release: %b\r\n" % release,
        variant_header=b"x-flyball-variant: %b\r\n" % variant,
        key=arm_key(route, arm),
    )


def _path(arm: Arm, known: dict[str, PromptPath]) -> PromptPath | None:
    if arm.prompt_path is None:
        return None
    if arm.release not in known:
        known[arm.release] = PromptPath(arm.prompt_path)
    return known[arm.release]


class Routes:
    """The routes as they stand; `reload` replaces them whole or, on any error, keeps the last good ones."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: Stamp | None = None
        self._paths: dict[str, PromptPath] = {}
        self.table: RoutingTable | None = None
        self.views: dict[str, RouteView] = {}

    def reload(self) -> bool:
        """Re-read the file if it changed; True when there is a new table."""
        stamp = stamp_of(self._path)
        if stamp is None or stamp == self._stamp:
            return False  # nothing published yet, or its folder is gone: the last table goes on
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

    @property
    def missing(self) -> str:
        """Why there is no route, as control says."""
        return "" if self.table is None else self.table.missing

    def names(self, principal: Principal) -> list[str]:
        """Every route that a principal may ask, the default one first."""
        ordered = sorted(self.views.values(), key=lambda view: not view.route.default)
        return [view.route.name for view in ordered if may(principal, "ask", view.route.name)]

    def find(self, model: str, principal: Principal) -> RouteView:
        """The route of a `model` name; 404 with the known names otherwise: nobody sees a route that is not theirs."""
        view = self.views.get(model)
        if view is None or not may(principal, "ask", model):
            known = ", ".join(self.names(principal)) or "none yet"
            raise HttpRefusal(
                404, f"the model {model!r} does not exist; known: {known}", code="model_not_found", param="model"
            )
        return view
