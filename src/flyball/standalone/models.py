"""Which models the servers of a gateway without a project list, asked again as time goes by. I/O: HTTP.

A server that lists its models serves those. One that answers but lists nothing is taken to have what the others list;
one that is down serves nothing until it appears, and keeps what it listed last when it goes down later.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from flyball.addresses import shown
from flyball.errors import EnvironmentMissing, FlyballError
from flyball.inference.http_client import ServerClient, resolved, tls_context
from flyball.storage.routing import Endpoint
from flyball.telemetry import log

ASK_S = 5.0
FRESH_S = 30.0
"""How long a list is taken for true."""
MISSING_S = 2.0
"""How often a server that gave none yet is asked."""


class Silent(EnvironmentMissing):
    """A server that cannot be reached."""


class ModelListings:
    """What each server listed last, and when it was asked."""

    def __init__(
        self,
        secrets: Callable[[str], str],
        proxy_for: Callable[[str], str | None] | None = None,
        *,
        ask_s: float = ASK_S,
    ) -> None:
        self._secrets, self._proxy_for, self._ask_s = secrets, proxy_for, ask_s
        self._points: Sequence[Endpoint] = ()
        self._found: dict[Endpoint, list[str]] = {}
        self._errors: dict[Endpoint, EnvironmentMissing] = {}
        self._asked_at: dict[Endpoint, float] = {}
        self._tls: dict[Endpoint, ssl.SSLContext] = {}

    def models(self, points: Sequence[Endpoint]) -> dict[Endpoint, list[str]]:
        """What each serves, as far as is known."""
        self._points = points
        self._refresh()
        shared = list(dict.fromkeys(name for point in points for name in self._found.get(point, ())))
        return {
            point: self._found.get(point) or ([] if isinstance(self._errors.get(point), Silent) else shared)
            for point in points
        }

    def problem(self) -> EnvironmentMissing:
        """Why there is no model."""
        return next(iter(self._errors.values()), EnvironmentMissing("no model is named", cure="name the models"))

    def due(self) -> bool:
        """Whether a server should be asked again."""
        return bool(self._wanted())

    def forget(self) -> None:
        """Ask all at the next occasion: somebody wants a model that none listed."""
        self._asked_at.clear()

    def _wanted(self) -> list[Endpoint]:
        now = time.monotonic()
        return [
            point
            for point in self._points
            if now - self._asked_at.get(point, -FRESH_S) >= (FRESH_S if point in self._found else MISSING_S)
        ]

    def _refresh(self) -> None:
        if not (wanted := self._wanted()):
            return
        with ThreadPoolExecutor(min(len(wanted), 16)) as threads:
            for point, outcome in zip(wanted, threads.map(self._asked, wanted), strict=True):
                self._asked_at[point] = time.monotonic()
                if isinstance(outcome, list):
                    self._found[point] = outcome
                    self._errors.pop(point, None)
                elif point not in self._errors:
                    self._errors[point] = outcome
                    log.warning("%s", outcome)
                else:
                    self._errors[point] = outcome

    def _asked(self, point: Endpoint) -> list[str] | EnvironmentMissing:
        try:
            return self._listed(point)
        except EnvironmentMissing as error:
            return error
        except FlyballError as error:
            return EnvironmentMissing(f"{shown(point.url)} does not list its models: {error.message}", cure=error.cure)

    def _listed(self, point: Endpoint) -> list[str]:
        place, cure = shown(point.url), "start it first, check its key, or name the models"
        target = resolved(
            point.url,
            exact=point.exact,
            key=point.api_key,
            reach=point.reach,
            secrets=self._secrets,
            proxy_for=self._proxy_for,
        )
        if target.secure and point not in self._tls:
            self._tls[point] = tls_context(point.reach)
        client = ServerClient(target, tls=self._tls.get(point), timeout_s=self._ask_s)
        try:
            status, body = client.get("/models")
        except (OSError, http.client.HTTPException) as error:
            raise Silent(f"{place} does not list its models: {error or type(error).__name__}", cure=cure) from error
        finally:
            client.close()
        if status in (502, 503, 504):
            raise Silent(f"{place} does not list its models: it answered {status}", cure=cure)
        if status != 200:
            raise EnvironmentMissing(f"{place} does not list its models: it answered {status}", cure=cure)
        try:
            names = _names(msgspec.json.decode(body))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise EnvironmentMissing(f"{place} does not list its models: {error}", cure=cure) from error
        if not names:
            raise EnvironmentMissing(f"{place} serves no model", cure="load one there, or name the models")
        return names


def _names(document: Any) -> list[str]:
    """Of a list under `data`, as OpenAI's, or of the list alone, as some give it."""
    data = document.get("data") if isinstance(document, dict) else document
    found = [one.get("id") for one in data if isinstance(one, dict)] if isinstance(data, list) else []
    return list(dict.fromkeys(name for name in found if isinstance(name, str) and name))
