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
    reference_requests: Annotated[
        int, Meta(ge=200, description="The first so many requests of a release are what later ones are compared with.")
    ] = 1500
    mix_margin: Annotated[
        float, Meta(gt=0, lt=1, description="A finding when a share of the mix of a column moves by this much or more.")
    ] = 0.02
    latency_p99_ms: (
        Annotated[
            float,
            Meta(gt=0, description="A finding when the 99th percentile exceeds it; null: latency is not watched."),
        ]
        | None
    ) = None


class TimeObjective(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So large a share of requests within so many seconds."""

    seconds: Annotated[float, Meta(gt=0, description="A bound of the histograms' buckets, such as 0.5, 1, 2.5 or 5.")]
    share: Annotated[float, Meta(gt=0, lt=1, description="Share of requests that must make it, such as 0.99.")]


class ObjectivesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every route promises over 30 days; what is left of it is the error budget that alerts watch."""

    availability: (
        Annotated[float, Meta(gt=0, lt=1, description="Share of requests that are answered; null: not watched.")] | None
    ) = 0.995
    latency: Annotated[TimeObjective | None, Meta(description="Time to the last byte; null: not watched.")] = None
    first_token: Annotated[
        TimeObjective | None, Meta(description="Time to the first token of a stream; null: not watched.")
    ] = None

    @property
    def times(self) -> dict[str, TimeObjective]:
        """The objectives on a time, by their key."""
        both = {"latency": self.latency, "first_token": self.first_token}
        return {name: found for name, found in both.items() if found is not None}
