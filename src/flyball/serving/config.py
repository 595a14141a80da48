"""Settings of engines."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ServingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many engines a release gets and how long they may take."""

    replicas: Annotated[int, Meta(ge=1, description="Engines of each release on each host.")] = 1
    memory_limit_mb: (
        Annotated[int, Meta(ge=64, description="Per engine, its weights included: one that holds more ends.")] | None
    ) = None
    liveness_s: Annotated[float, Meta(gt=0, description="Seconds between two checks that an engine is alive.")] = 1.0
    commands: Annotated[
        dict[str, Annotated[tuple[str, ...], Meta(min_length=1)]],
        Meta(
            description="By kind of engine, how its server starts on this machine, such as "
            "{KIND: [/opt/KIND/bin/KIND, serve]}; model and flags follow."
        ),
    ] = msgspec.field(default_factory=dict)
    max_restarts: Annotated[int, Meta(ge=0, description="Restarts in a row before it counts as a crash loop.")] = 3
