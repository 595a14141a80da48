"""What a load test is to do, checked; and doing it: one run, a search for saturation, or an overload. I/O: HTTP."""

from __future__ import annotations

import asyncio
import http.client
import signal
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from flyball.addresses import is_loopback_name, normal, shown
from flyball.errors import InputError, RefusedError, UpstreamError
from flyball.evaluation.load.arrivals import Spread, Stage, arrivals, overload, steady
from flyball.evaluation.load.planned_requests import Planned, Shape, body_of, planned, read_prompts, replayed, words
from flyball.evaluation.load.run import Endpoint, run_load
from flyball.evaluation.load.saturation import Recovery, Saturation, find_saturation, recovery_of
from flyball.evaluation.load.summary import Summary, summary_of
from flyball.evaluation.load.traces import Traced, read_trace
from flyball.inference.http_client import ServerAccess, ServerClient, resolved, tls_context
from flyball.telemetry import Progress, quiet

LONGEST_S = 24 * 3600.0
REFUSALS = (400, 401, 403, 404, 405, 413, 415, 422)
"""Answers to the first request after which the others need not be sent."""
HOPELESS = (ConnectionRefusedError, ssl.SSLError, socket.gaierror)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadJob:
    """A load test; times in seconds, rates in requests per second."""

    url: str
    model: str = "default"
    rate: float = 10.0
    ramp_to: float | None = None
    spread: Spread = "poisson"
    burst_shape: float = 0.25
    duration_s: float = 30.0
    trace: Path | None = None
    speed: float = 1.0
    prompts: Path | None = None
    prompt_tokens: int = 64
    max_tokens: int = 64
    stream: bool = True
    objectives: Mapping[str, float] = field(default_factory=dict)
    share: float = 0.99
    find_rate: bool = False
    overload: float | None = None
    timeout_s: float = 60.0
    max_lag_s: float = 0.01
    level: float = 0.9
    seed: int = 1
    is_mine: bool = False


class LoadResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a load test found; of a search, the summary is that of the run at the rate found."""

    url: str
    model: str
    stream: bool
    arrivals: str
    objectives_ms: dict[str, float]
    summary: Summary
    saturation: Saturation | None = None
    recovery: Recovery | None = None


def check(job: LoadJob) -> None:
    """InputError for a job that cannot be done, RefusedError for a server that may be somebody else's."""
    host = http_host(job.url)
    if not is_loopback_name(host) and not job.is_mine:
        raise RefusedError(
            f"{host} is not this machine, and load that its owner does not expect is an attack",
            cure="add --yes-this-server-is-mine if you may do this",
        )
    if not 0.0 < job.duration_s <= LONGEST_S:
        raise InputError(f"a duration of {job.duration_s:g} s", cure="give one of at most 24h")
    if (job.find_rate or job.overload) and not job.objectives:
        raise InputError("nothing says which answers are good", cure="give --objective, such as ttft=500ms,e2e=5s")
    if sum(map(bool, (job.find_rate, job.overload, job.trace, job.ramp_to))) > 1:
        raise InputError("--find-rate, --overload, --trace and --ramp-to exclude each other", cure="give one of them")


def http_host(url: str) -> str:
    """The host of a server's URL; InputError when it is none."""
    return resolved(normal(url)[0], exact=False).host


def do_load(job: LoadJob, way: ServerAccess | None = None, progress: Progress = quiet) -> LoadResult:
    """Check the job, ask once, then load the server; ctrl-c ends it early with what there is."""
    check(job)
    address, exact = normal(job.url)
    way = way or ServerAccess()
    target = resolved(
        address, exact=exact, key=way.api_key, reach=way.reach, secrets=way.secrets, proxy_for=way.proxy_for
    )
    if target.proxy is not None:
        raise InputError(
            "requests would go through a proxy, which would be measured too", cure=f"set NO_PROXY={target.host}"
        )
    endpoint = Endpoint(target=target, tls=tls_context(way.reach) if target.secure else None, timeout_s=job.timeout_s)
    prompts = read_prompts(job.prompts) if job.prompts else None
    trace = read_trace(job.trace) if job.trace else None
    shape = first_answer(ServerClient(target, tls=endpoint.tls, timeout_s=job.timeout_s), job, prompts)
    import uvloop  # pulls in asyncio's whole machinery, which no other command of this package needs

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Work(job, endpoint, shape, prompts, trace, progress).result())


def first_answer(client: ServerClient, job: LoadJob, prompts: Sequence[Any] | None) -> Shape:
    """Ask once, so that a wrong URL, key or model is said before the load; how requests are to look.

    A server that does not know `stream_options` is asked without, and its chunks count as tokens.
    """
    fields: dict[str, Any] = {"model": job.model}
    if job.stream:
        fields |= {"stream": True, "stream_options": {"include_usage": True}}
    messages = prompts[0] if prompts else [{"role": "user", "content": words(job.prompt_tokens, job.seed)}]
    shape = Shape(fields=fields, max_tokens=job.max_tokens)
    try:
        status, raw = client.post("/chat/completions", body_of(shape, messages, job.max_tokens))
        if status in (400, 422) and "stream_options" in fields:
            shape = replace(shape, fields={"model": job.model, "stream": True})
            status, raw = client.post("/chat/completions", body_of(shape, messages, job.max_tokens))
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, ConnectionRefusedError):
            raise UpstreamError(
                f"{shown(job.url)} does not answer: {error}", cure="check that it runs there"
            ) from error
        return shape  # it answers badly: that is what the run measures
    finally:
        client.close()
    if status in REFUSALS:
        raise UpstreamError(
            f"{shown(job.url)} answered {status}: {raw[:300].decode('utf-8', 'replace')}",
            cure="check --model, --api-key and the URL",
            status=status,
        )
    return shape


@dataclass(frozen=True, slots=True)
class _Work:
    """The job in its event loop."""

    job: LoadJob
    endpoint: Endpoint
    shape: Shape
    prompts: Sequence[Any] | None
    trace: Sequence[Traced] | None
    progress: Progress

    async def result(self) -> LoadResult:
        """Do it."""
        job, stop = self.job, asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, stop.set)
        try:
            if job.find_rate:
                return await self._search(stop)
            summary = await self._run(self._stages(), stop, self._seconds())
        finally:
            loop.remove_signal_handler(signal.SIGINT)
        found = None
        if job.overload:
            found = recovery_of(summary.windows, ended_s=job.duration_s / 2, share=job.share)
        return self._told(summary, recovery=found)

    async def _search(self, stop: asyncio.Event) -> LoadResult:
        kept: dict[float, Summary] = {}

        async def run(rate: float) -> Summary:
            kept[rate] = await self._run(steady(rate, self.job.duration_s), stop, self.job.duration_s, f"{rate:.4g}/s")
            return kept[rate]

        found = await find_saturation(run, first_rate=self.job.rate, share=self.job.share)
        last = list(kept.values())[-1]
        summary = last if found.rate is None or last.interrupted else kept[found.rate]
        return self._told(summary, saturation=found)

    async def _run(self, stages: Sequence[Stage], stop: asyncio.Event, seconds: float, what: str = "load") -> Summary:
        job = self.job
        recording = await run_load(
            self.endpoint, self._plan(stages), seconds=seconds, stop=stop, progress=self.progress, what=what
        )
        if not len(recording):
            raise InputError("no request was due", cure="raise the rate or the duration")
        return summary_of(recording, job.objectives, max_lag_s=job.max_lag_s, level=job.level, streamed=job.stream)

    def _seconds(self) -> float:
        if self.trace is None:
            return self.job.duration_s
        return min(self.job.duration_s, self.trace[-1].at_s / self.job.speed + 1e-3)

    def _stages(self) -> Sequence[Stage]:
        job = self.job
        if job.overload:
            return overload(job.rate, job.overload, job.duration_s)
        last = job.rate if job.ramp_to is None else job.ramp_to
        return (Stage(seconds=job.duration_s, first_rate=job.rate, last_rate=last),)

    def _plan(self, stages: Sequence[Stage]) -> Iterator[Planned]:
        job = self.job
        if self.trace is not None:
            return replayed(self.trace, self.shape, speed=job.speed, seconds=job.duration_s)
        moments = arrivals(stages, spread=job.spread, shape=job.burst_shape, seed=job.seed)
        return planned(moments, self.shape, prompts=self.prompts, prompt_tokens=job.prompt_tokens, seed=job.seed)

    def _told(
        self, summary: Summary, *, saturation: Saturation | None = None, recovery: Recovery | None = None
    ) -> LoadResult:
        job = self.job
        return LoadResult(
            url=shown(job.url),
            model=job.model,
            stream=job.stream,
            arrivals=described(job),
            objectives_ms={name: limit * 1000 for name, limit in job.objectives.items()},
            summary=summary,
            saturation=saturation,
            recovery=recovery,
        )


def described(job: LoadJob) -> str:
    """How requests left, in words."""
    if job.trace:
        return f"replay of {job.trace.name}, {job.speed:g} times as fast, for {job.duration_s:g} s at most"
    spread = f"gamma bursts of shape {job.burst_shape:g}" if job.spread == "gamma" else job.spread
    if job.find_rate:
        return f"{spread}, searching from {job.rate:g}/s, {job.duration_s:g} s a trial"
    if job.overload:
        times = f"{job.rate:g}/s, then {job.rate * job.overload:g}/s, then {job.rate:g}/s"
        return f"{spread}, {times}, {job.duration_s:g} s in all"
    rate = f"{job.rate:g}/s" if job.ramp_to is None else f"{job.rate:g}/s to {job.ramp_to:g}/s"
    return f"{spread}, {rate} for {job.duration_s:g} s"
