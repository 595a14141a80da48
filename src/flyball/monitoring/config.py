"""Settings of monitoring."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class MonitorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts as worth a finding."""

    every_s: Annotated[float, Meta(gt=0)] = 2.0
    alpha: Annotated[float, Meta(gt=0, lt=0.5, description="False findings over the life of one release.")] = 0.01
    quality_margin: Annotated[float, Meta(gt=0, lt=1, description="Below the evaluated quality by this much.")] = 0.05
    drift_margin: Annotated[float, Meta(gt=0, lt=1, description="More requests with new words by this much.")] = 0.05
    latency_p99_ms: Annotated[float, Meta(gt=0)] | None = None
