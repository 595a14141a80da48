"""What a process before somebody's server is told of the way there, through its environment. I/O: the environment.

In the environment, since everybody on a machine may read the arguments of a process.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from flyball.addresses import Reach, environment_proxy
from flyball.inference.http_client import ServerAccess
from flyball.references import secret

VARIABLE = "FLYBALL_ENGINE_ACCESS"


class Access(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """References to secrets, how the server is reached, and the folder where file: of a reference begins."""

    api_key: str | None = None
    reach: Reach | None = None
    home: str = "."


def with_way(way: ServerAccess | None) -> dict[str, str]:
    """The environment of a process that is started from here, with this way to the server where there is one."""
    if way is None or not (way.api_key or way.reach):
        return dict(os.environ)
    access = Access(api_key=way.api_key, reach=way.reach, home=way.home or ".")
    return {**os.environ, VARIABLE: msgspec.json.encode(access).decode()}


def given_way() -> ServerAccess:
    """What this process was told, with the secrets that it finds itself; msgspec.MsgspecError for something else."""
    access = msgspec.json.decode(os.environ.get(VARIABLE, "{}"), type=Access)
    return ServerAccess(
        api_key=access.api_key,
        reach=access.reach,
        secrets=lambda reference: secret(reference, Path(access.home), os.environ),
        proxy_for=lambda url: environment_proxy(url, os.environ),
    )
