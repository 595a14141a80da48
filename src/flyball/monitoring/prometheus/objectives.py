"""Objectives as error ratios in PromQL, in the form that sloth made customary. Pure.

Burn rates after Google's SRE workbook, chapter 5: a page when 2 % of a month's budget goes in an hour (14.4 times the
even pace) or 5 % in six hours (6 times), a ticket at 10 % in a day (3) or three (1); each is confirmed by a window of a
twelfth, so that an alert ends soon after its cause.
"""

from __future__ import annotations

from dataclasses import dataclass

from flyball.monitoring.config import ObjectivesConfig

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
BURN_RATES = {
    "page": ((14.4, "5m", "1h"), (6.0, "30m", "6h")),
    "ticket": ((3.0, "2h", "1d"), (1.0, "6h", "3d")),
}
"""By severity: (times the even pace, short window, long window)."""
_ASKED = 'flyball_gateway_requests_total{outcome!~"aborted|refused"}'
_FAILED = 'flyball_gateway_requests_total{outcome=~"error|cut"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One promise: its name, the share that must succeed, and the rates of all and of failed requests by route.

    `all_rate` and `failed_rate` hold WINDOW where the window goes.
    """

    name: str
    share: float
    all_rate: str
    failed_rate: str
    about: str

    def error_ratio(self, window: str) -> str:
        """The share that failed, by route; 0 before the first failure, nothing without requests."""
        every = self.all_rate.replace("WINDOW", window)
        failed = self.failed_rate.replace("WINDOW", window)
        return f"(({failed}) or 0 * ({every})) / (({every}) > 0)"


def objectives_of(config: ObjectivesConfig) -> list[Objective]:
    """The objectives that the settings name."""
    found = []
    if config.availability is not None:
        found.append(
            Objective(
                name="availability",
                share=config.availability,
                all_rate=f"sum by (route) (rate({_with_window(_ASKED)}))",
                failed_rate=f"sum by (route) (rate({_with_window(_FAILED)}))",
                about="requests that are answered",
            )
        )
    metrics = {"latency": "flyball_gateway_request_seconds", "first_token": "flyball_gateway_first_token_seconds"}
    for name, wanted in config.times.items():
        metric = metrics[name]
        every = f"sum by (route) (rate({metric}_count[WINDOW]))"
        in_time = f'sum by (route) (rate({metric}_bucket{{le="{wanted.seconds}"}}[WINDOW]))'
        found.append(
            Objective(
                name=name,
                share=wanted.share,
                all_rate=every,
                failed_rate=f"{every} - {in_time}",
                about=f"{name.replace('_', ' ')} within {wanted.seconds:g} s",
            )
        )
    return found


def _with_window(series: str) -> str:
    return f"{series}[WINDOW]"
