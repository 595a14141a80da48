"""Settings of the evaluation stage."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class EvaluateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which suites are run against the packaged model in its engine."""

    suites: Annotated[
        tuple[str, ...],
        Meta(description="`test`: the held-out rows; `invariance`: edits that must not change the answer; or a file."),
    ] = ("test", "invariance")
    max_items: Annotated[int, Meta(ge=1, description="A seeded sample of each suite; null: all.")] | None = None
    level: Annotated[float, Meta(gt=0.5, lt=1, description="Of the two-sided intervals shown.")] = 0.95
    concurrency: Annotated[int, Meta(ge=1)] = 4
