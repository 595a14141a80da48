"""Settings of monitoring."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class MonitorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as worth a finding."""

    every_s: Annotated[float, Meta(gt=0, description="Seconds between two looks at the ledger.")] = 2.0
    alpha: Annotated[
        float, Meta(gt=0, lt=0.5, description="Probability of a false finding over the life of one release.")
    ] = 0.01
    quality_margin: Annotated[
        float, Meta(gt=0, lt=1, description="A finding when quality is this much below the evaluated one.")
    ] = 0.05
    drift_margin: Annotated[
        float, Meta(gt=0, lt=1, description="A finding when the share of requests with new words grows by this much.")
    ] = 0.05
    latency_p99_ms: (
        Annotated[
            float,
            Meta(gt=0, description="A finding when the 99th percentile exceeds it; null: latency is not watched."),
        ]
        | None
    ) = None
