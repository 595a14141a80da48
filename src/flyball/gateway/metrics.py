"""Counters, gauges and histograms of one worker, as Prometheus text (version 0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from flyball.telemetry import SECONDS, sample_line

Labels = tuple[str, ...]


class Counter:
    """A number per combination of labels that only grows."""

    kind = "counter"

    def __init__(self, name: str, text: str, labels: Labels = ()) -> None:
        self.name, self.text, self.labels = name, text, labels
        self.values: dict[Labels, list[float]] = {} if labels else {(): [0.0]}

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Add `by` to the number of these labels."""
        self.row(*labels)[0] += by

    def row(self, *labels: str) -> list[float]:
        """A list of just the number of these labels, to be kept by who adds often."""
        row = self.values.get(labels)
        if row is None:
            row = self.values[labels] = [0.0]
        return row

    def lines(self, fixed: str) -> list[str]:
        """Its samples."""
        return [sample_line(self.name, self.labels, key, row[0], fixed) for key, row in self.values.items()]


class Gauge:
    """A number that is asked for when somebody looks; `kind` counter where it only grows."""

    def __init__(
        self,
        name: str,
        text: str,
        read: Callable[[], dict[Labels, float]],
        labels: Labels = (),
        *,
        kind: str = "gauge",
    ) -> None:
        self.name, self.text, self.labels, self.read, self.kind = name, text, labels, read, kind

    def lines(self, fixed: str) -> list[str]:
        """Its samples."""
        return [sample_line(self.name, self.labels, key, value, fixed) for key, value in self.read().items()]


class Histogram:
    """How often a time in seconds fell into each bucket."""

    kind = "histogram"

    def __init__(self, name: str, text: str, labels: Labels = (), buckets: tuple[float, ...] = SECONDS) -> None:
        self.name, self.text, self.labels, self.buckets = name, text, labels, buckets
        self.values: dict[Labels, list[float]] = {}

    def observe(self, seconds: float, *labels: str) -> None:
        """Count one time."""
        row = self.values.get(labels)
        if row is None:
            row = self.values[labels] = [0.0] * (len(self.buckets) + 2)
        self.observe_in(row, seconds)

    def row(self, *labels: str) -> list[float]:
        """The buckets and the sum of these labels, to be kept by who observes often."""
        return self.values.setdefault(labels, [0.0] * (len(self.buckets) + 2))

    def observe_in(self, row: list[float], seconds: float) -> None:
        """Count one time in a row."""
        row[bisect_left(self.buckets, seconds)] += 1
        row[-1] += seconds

    def lines(self, fixed: str) -> list[str]:
        """Its samples: cumulative buckets, sum and count."""
        out = []
        for key, row in self.values.items():
            total = 0.0
            for bound, count in zip((*self.buckets, "+Inf"), row[:-1], strict=True):
                total += count
                labels, values = (*self.labels, "le"), (*key, str(bound))
                out.append(sample_line(f"{self.name}_bucket", labels, values, total, fixed))
            out.append(sample_line(f"{self.name}_sum", self.labels, key, row[-1], fixed))
            out.append(sample_line(f"{self.name}_count", self.labels, key, total, fixed))
        return out


class ArmNumbers:
    """The numbers of one arm, their labels put together once."""

    def __init__(self, metrics: Metrics, *labels: str) -> None:
        self._metrics, self._labels = metrics, labels
        self._outcomes: dict[tuple[str, int], list[float]] = {}
        self._seconds, self._queue = metrics.seconds.row(*labels), metrics.queue.row(*labels)
        self._prompt, self._completion = (metrics.tokens.row(*labels, kind) for kind in ("prompt", "completion"))
        self._cost = metrics.cost.row(*labels)

    def add(
        self,
        *,
        outcome: str,
        status: int,
        total_s: float,
        queue_s: float,
        first_token_s: float | None,
        prompt_tokens: int,
        completion_tokens: int,
        cost_usd: float,
    ) -> None:
        """Count one request."""
        row = self._outcomes.get((outcome, status))
        if row is None:
            labels = (*self._labels, outcome, str(status))
            row = self._outcomes[outcome, status] = self._metrics.requests.row(*labels)
        row[0] += 1
        self._seconds[bisect_left(SECONDS, total_s)] += 1
        self._seconds[-1] += total_s
        self._queue[bisect_left(SECONDS, queue_s)] += 1
        self._queue[-1] += queue_s
        if first_token_s is not None:
            self._metrics.first_token.observe(first_token_s, *self._labels)
        self._prompt[0] += prompt_tokens
        self._completion[0] += completion_tokens
        self._cost[0] += cost_usd


class Metrics:
    """All numbers of one gateway worker."""

    def __init__(self, worker: int) -> None:
        self.fixed = f'worker="{worker}"'
        self.families: list[Counter | Histogram] = []
        arm = ("route", "release", "variant")
        self.requests = self._counter(
            "flyball_gateway_requests_total", "Answered requests.", (*arm, "outcome", "status")
        )
        self.seconds = self._histogram("flyball_gateway_request_seconds", "Time from request to last byte.", arm)
        self.first_token = self._histogram(
            "flyball_gateway_first_token_seconds", "Time from request to first event.", arm
        )
        self.queue = self._histogram("flyball_gateway_queue_seconds", "Wait for a free slot of an engine.", arm)
        self.tokens = self._counter("flyball_gateway_tokens_total", "Tokens of prompts and answers.", (*arm, "kind"))
        self.cost = self._counter("flyball_gateway_cost_usd_total", "Cost of answers in US dollars.", arm)
        self.refused = self._counter("flyball_gateway_refused_total", "Requests refused before any engine.", ("code",))
        self.retries = self._counter(
            "flyball_gateway_retries_total", "Further attempts at an engine.", ("route", "reason")
        )
        self.fallbacks = self._counter(
            "flyball_gateway_fallbacks_total", "Requests that the live arm answered instead.", arm
        )
        self.ejections = self._counter(
            "flyball_gateway_ejections_total", "Times an endpoint was put aside.", ("endpoint",)
        )
        shadow = ("route", "release")
        self.mirrored = self._counter(
            "flyball_gateway_mirrored_total", "Copies of requests that a shadow answered.", (*shadow, "outcome")
        )
        self.unmirrored = self._counter(
            "flyball_gateway_unmirrored_total", "Copies that were not sent to a shadow.", (*shadow, "reason")
        )
        self.mirrored_seconds = self._histogram(
            "flyball_gateway_mirrored_seconds", "Time of a shadow's whole answer.", shadow
        )
        self.mirrored_usd = self._counter(
            "flyball_gateway_mirrored_usd_total", "Cost of shadows in US dollars.", shadow
        )
        self.recorded = self._counter("flyball_gateway_recorded_total", "Records written to segments.", ("kind",))
        self.lost = self._counter(
            "flyball_gateway_recording_failures_total", "Records that could not be written.", ("kind",)
        )
        self.errors = self._counter("flyball_gateway_internal_errors_total", "Requests that ended in a bug of Flyball.")
        self.reloads = self._counter(
            "flyball_gateway_reloads_total", "Reloads of routes, settings and keys.", ("what", "result")
        )
        self.gauges: list[Gauge] = []
        self._arms: dict[Labels, ArmNumbers] = {}

    def _counter(self, name: str, text: str, labels: Labels = ()) -> Counter:
        counter = Counter(name, text, labels)
        self.families.append(counter)
        return counter

    def _histogram(self, name: str, text: str, labels: Labels) -> Histogram:
        histogram = Histogram(name, text, labels)
        self.families.append(histogram)
        return histogram

    def arm(self, route: str, release: str, variant: str) -> ArmNumbers:
        """The numbers of one arm."""
        found = self._arms.get((route, release, variant))
        if found is None:
            found = self._arms[route, release, variant] = ArmNumbers(self, route, release[:12], variant)
        return found

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        out: list[str] = []
        families: list[Counter | Histogram | Gauge] = [*self.families, *self.gauges]
        for family in families:
            out += [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
            out += family.lines(self.fixed)
        return ("\n".join(out) + "\n").encode()
