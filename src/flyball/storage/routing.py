"""The routing table: what control publishes and every gateway worker reads. I/O: one file, replaced atomically.

A gateway keeps serving the last table it read when everything else is down.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from flyball.addresses import Reach
from flyball.errors import CorruptionError
from flyball.records import Release
from flyball.records.prices import UsdPerMillion
from flyball.whole_files import replace_file


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One running engine or server: its base URL, an id, and the most requests it takes at once."""

    id: str
    url: str
    slots: int
    api_key: str | None = None  # a reference such as env:NAME, never the secret itself
    exact: bool = False  # the URL is the whole base; else /v1 follows it
    reach: Reach | None = None


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One release behind a route with its share of units (0 to 1) and its engines."""

    release: str
    variant: str  # live | canary | shadow | a | b | previous (weight 0: still hot, answers where live cannot)
    weight: float  # of a shadow: the share of the units that are mirrored
    endpoints: tuple[Endpoint, ...]
    deployment: str | None = None
    max_usd: float | None = None  # of a shadow: what its mirrored requests may cost a worker at most
    prompt_path: Release | None = None  # None: a bare upstream, requests pass unchanged
    model: str | None = None  # what a bare upstream calls the model; None: as clients do
    usd_per_million: UsdPerMillion | None = None  # its own prices


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A `model` name that clients send, and what answers it.

    `salt` keys the assignment of units to arms; `unit` says what a unit is: auto, user, conversation, key, header:NAME.
    """

    name: str
    arms: tuple[Arm, ...]
    default: bool = False
    salt: str = ""
    unit: str = "auto"
    missing: str = ""  # why nothing answers here now, and what to do; for clients to read


class RoutingTable(msgspec.Struct, frozen=True, kw_only=True):
    """All routes of one project, with a version that only grows."""

    version: int
    project: str
    routes: tuple[Route, ...]
    missing: str = ""  # why there is no route
    listed: bool = False  # by servers that may list more tomorrow


Stamp = tuple[int, int, int]


def publish(path: Path, table: RoutingTable) -> Stamp:
    """Replace the table on disk in one step; a reader sees the old one or the new one, whole. The stamp of the file."""
    status = replace_file(path, msgspec.json.encode(table), durable=True, mode=0o600)
    return status.st_ino, status.st_mtime_ns, status.st_size


def stamp_of(path: Path) -> Stamp | None:
    """What tells one written table from another without reading it; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def wish_of(path: Path) -> Path:
    """The file that a worker touches when a client names a model that is not in a table that servers list."""
    return path.with_name(f"{path.name}.wish")


def load(path: Path) -> RoutingTable:
    """The table on disk; CorruptionError when it is not one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=RoutingTable)
    except msgspec.MsgspecError as error:
        raise CorruptionError(
            f"{path} is not a routing table: {error}", cure="restart `flyball up`, which writes it again"
        ) from error
