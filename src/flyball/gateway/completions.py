"""One request from admission to its last byte and its record: attempts, fallback, streaming, aborts. I/O: sockets.

While no byte has gone to the client a failure costs nobody anything: another endpoint or the same one is tried after a
jittered pause, and a candidate that fails altogether hands its request to the live arm, which has its whole time for it
however long the candidate was silent; the record keeps the candidate as the one that failed. Once a byte has gone out a
failure cuts the stream.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Final

from flyball.gateway.engine_payloads import long_payload
from flyball.gateway.engine_prompt import takes_long
from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.openai_errors import HttpRefusal, error_body
from flyball.gateway.mirroring import mirror
from flyball.gateway.recording.request_record import RequestTrace, cost_of, count, most_usd, request_record
from flyball.gateway.recording.segment_format import RequestEntry
from flyball.gateway.refusals import FINAL, kind_of, refuse, status_of
from flyball.gateway.request_parsing import Kind, ParsedRequest, asked, engine_payload, estimated_tokens, understand
from flyball.gateway.routing import ArmView
from flyball.gateway.upstream.attempt import head_of
from flyball.gateway.upstream.call import Call, UpstreamFailure
from flyball.gateway.upstream.circuit_breaker import CLOSED
from flyball.gateway.upstream.load_balancer import Target
from flyball.gateway.upstream.model_listing import once_listed
from flyball.gateway.upstream.sse import AnswerContent
from flyball.gateway.upstream.status_codes import (
    EngineRefused,
    excerpt,
    failed_with,
    failed_within,
    is_refusal,
    own_words,
)
from flyball.gateway.upstream.stream_relay import Relay
from flyball.gateway.worker_state import RECORDING_FAILED, WorkerState, first_route, unrecorded
from flyball.telemetry import log

BACKOFF_S: Final = 0.025
_LARGE: Final = 65_536


async def answer(state: WorkerState, exchange: Exchange, kind: Kind) -> None:
    """Answer one request and record it."""
    if not state.routes.views:
        await first_route(state)
    try:
        unknown: HttpRefusal | None = None
        try:
            ask = understand(state, exchange, kind)
        except HttpRefusal as refusal:
            if refusal.code != "model_not_found":
                raise
            unknown = refusal  # compiled, an await in here would break the exception (mypyc)
        if unknown is not None:
            ask = await once_listed(state, exchange, kind, unknown)
        state.check_recording()
        prompt, completion = estimated_tokens(ask)
        usd = most_usd(state, ask, prompt, completion)
        admission = state.limits.admit(ask.principal, tokens=prompt + completion, usd=usd)
        if admission is None:
            admission = await state.limits.admitted(ask.principal, tokens=prompt + completion, usd=usd)
    except HttpRefusal as refusal:
        state.metrics.refused.add(refusal.code)
        refuse(exchange, refusal)
        return
    story = RequestTrace(tally=AnswerContent(ask.view.route.name), arm=ask.arm, headers=admission.headers)
    try:
        await _Answering(state, exchange, ask, story).run()
    finally:
        tokens = story.tally.prompt_tokens + story.tally.completion_tokens
        admission.settle(tokens=tokens, usd=cost_of(state, story))
        _mirror(state, ask, exchange)


def _mirror(state: WorkerState, ask: ParsedRequest, exchange: Exchange) -> None:
    """Ask the shadows of the route too, once a request is answered."""
    if ask.view.shadows and exchange.state == "answered":
        mirror(state, ask)


class _Answering:
    """The course of one request."""

    __slots__ = ("ask", "body", "exchange", "failed", "request_id", "state", "story", "until")

    def __init__(self, state: WorkerState, exchange: Exchange, ask: ParsedRequest, story: RequestTrace) -> None:
        self.state, self.exchange, self.ask, self.story = state, exchange, ask, story
        self.body = b""
        self.request_id = b""  # what the server calls this request
        self.failed: set[str] = set()  # keys of the arms that could not answer
        self.until = ask.began + state.context.config.total_timeout_s  # the end of the arm's time that is asked now

    async def run(self) -> None:
        """To the end, whatever it is."""
        try:
            await self._with_fallback()
        except asyncio.CancelledError:
            self._end_cancelled()
        except HttpRefusal as refusal:
            self._end_refused(refusal)
        except EngineRefused as error:
            self._end_engine_refused(error)
        except UpstreamFailure as failure:
            self._end_failed(failure)
        except Exception:  # noqa: BLE001 - the edge of a request: a bug of ours ends this one and no other
            log.exception("internal error while answering %s", self.ask.id)
            self.state.metrics.errors.add()
            self._record("error", 500, error="internal_error")
            self._end_broken(500, "an internal error; the gateway's log says more", code="internal_error")

    # attempts ----------------------------------------------------------------------------------------------------

    async def _with_fallback(self) -> None:
        """By the assigned arm; if that fails before the first byte, by those that are trusted most now, in turn."""
        arm = self.ask.arm
        while True:
            try:
                await self._by_arm(arm)
                return
            except (UpstreamFailure, EngineRefused, HttpRefusal) as failure:
                if isinstance(failure, EngineRefused) and self.story.fallback:
                    self.story.fallback = None  # the other says so too: the request is wrong, not the arm
                    raise
                other = self._trusted_beside(arm)
                if self.exchange.state != "waiting" or other is None:
                    raise
                if isinstance(failure, HttpRefusal) and (failure.status < 500 or arm.arm.variant == "live"):
                    raise  # the request is wrong, or live has more to do than it can: no failure of the arm
                self._fall_back(arm, other, failure)
                self.failed.add(arm.key)
                self.until = time.monotonic() + self.state.context.config.total_timeout_s
                arm = other

    def _fall_back(self, arm: ArmView, other: ArmView, failure: Exception) -> None:
        replaced = arm.arm.variant == "live" and other.arm.variant == "live"
        if not replaced:  # else the live release changed while this request waited: no failure of either
            before = self.story.fallback  # the reason is why the assigned arm failed
            reason = before.split(":", 2)[2] if before else kind_of(failure)
            self.story.fallback = f"fallback:{other.arm.release}:{reason}"
            self.state.metrics.fallbacks.add(self.ask.view.route.name, arm.arm.release[:12], arm.arm.variant)
        self.story.arm = other

    def _trusted_beside(self, arm: ArmView) -> ArmView | None:
        """What answers instead of this arm and those that failed: the live release, then what that falls back on."""
        view = self.state.routes.views.get(self.ask.view.route.name)
        return None if view is None else view.after({arm.key, *self.failed})

    async def _by_arm(self, arm: ArmView) -> None:
        """Attempts on one arm's endpoints until one answers."""
        config, ask, story = self.state.context.config, self.ask, self.story
        if takes_long(arm.path, ask.raw):
            payload = await long_payload(self.state, ask, arm)
        else:
            payload = engine_payload(ask, arm)
        patient = self._trusted_beside(arm) is None  # worth waiting for
        give_up = time.monotonic() + config.queue_timeout_s
        tried: set[str] = set()
        failures = 0
        while True:
            asked_at = time.monotonic()
            try:
                target = await self.state.balancer.acquire(
                    arm, key=ask.principal.id, avoid=tried, deadline=give_up, patient=patient
                )
            finally:
                story.queue_s += time.monotonic() - asked_at  # also of who waited for nothing
            story.attempts += 1
            story.endpoint = target.client.endpoint.id
            try:
                await self._on_endpoint(target, payload)
                return
            except UpstreamFailure as failure:
                self.state.balancer.failed(target, failure)
                story.blame(self.state, ask, target.client, failure)
                tried.add(target.client.endpoint.id)
                unsent = failure.kind == "connect" and patient and not failure.lasting  # it may be starting again
                failures += not unsent
                now = time.monotonic()
                over = now > give_up if unsent else failures > config.retries
                if over or self.exchange.state != "waiting" or now > self.until:
                    raise
                if not unsent and not self._worth_another(arm, target, failure, tried):
                    raise
                self.state.metrics.retries.add(ask.view.route.name, failure.kind)
            finally:
                self.state.balancer.release(target)
            await asyncio.sleep(BACKOFF_S * 2 ** min(story.attempts, 5) * random.uniform(0.5, 1.0))

    def _worth_another(self, arm: ArmView, target: Target, failure: UpstreamFailure, tried: set[str]) -> bool:
        """Whether to try once more on this arm: on another endpoint always, on the same one where that may help.

        Not where it was too slow, has too much to do, fails at others too, or another server has yet to be asked.
        """
        if self.state.balancer.untried(arm, tried):
            return True
        if failure.load or failure.lasting or failure.kind in FINAL or target.breaker.state != CLOSED:
            return False
        return not (self.ask.view.interchangeable and self._trusted_beside(arm) is not None)

    async def _on_endpoint(self, target: Target, payload: bytes) -> None:
        """One attempt."""
        if self.story.attempts > 1:
            self.story.tally = AnswerContent(self.ask.view.route.name)  # what an earlier attempt said does not count
        self.request_id = b""
        first_s = self.state.context.config.first_token_timeout_s
        call = await head_of(
            self.exchange, self.ask, self.story.arm, target.client, payload, first_s=first_s, until=self.until
        )
        try:
            self.request_id = call.request_id
            if is_refusal(call.status):
                self.state.balancer.succeeded(target)
                raise EngineRefused(call.status, call.body)
            if call.status >= 300:
                raise failed_with(call)
            if call.stream:
                await self._stream(target, call)
            else:
                self._plain(target, call)
        finally:
            call.cancel()

    # answers -----------------------------------------------------------------------------------------------------

    def _plain(self, target: Target, call: Call) -> None:
        tally, ask = self.story.tally, self.ask
        chunk = tally.whole(call.body)
        if chunk is None or tally.error is not None:
            self._raise_error_within(target)
            raise UpstreamFailure("malformed", f"the engine's answer is not one: {excerpt(call.body)}")
        self.state.balancer.succeeded(target)
        self.body = tally.renamed(call.body, chunk.model)  # whatever its shape is: clients may read more than we do
        entry = self._entry(*self._outcome())
        if entry is None or len(ask.raw) + len(self.body) > _LARGE:  # no copy of it beside those of others
            self._answer(entry is not None and self.state.record(entry, "request"))
        else:
            self.state.record_then(entry, self.exchange, self._recorded)

    def _raise_error_within(self, target: Target) -> None:
        """Raise what a 200 means by an error in place of an answer, where that names the status it stands for."""
        tally = self.story.tally
        if is_refusal(tally.error_status):
            self.state.balancer.succeeded(target)
            raise EngineRefused(tally.error_status, tally.error_body)
        if tally.error_status:
            raise failed_within(tally.error_body, tally.error or "", tally.error_status)

    def _recorded(self, recorded: bool) -> None:
        self._answer(recorded)
        _mirror(self.state, self.ask, self.exchange)

    def _answer(self, recorded: bool) -> None:
        """A plain answer goes out; its record is written before."""
        if not recorded and self.state.refuses_unrecorded:
            refuse(self.exchange, unrecorded(), headers=self._headers())
        else:
            self.exchange.answer(200, self.body, headers=self._headers(recorded=recorded))

    async def _stream(self, target: Target, call: Call) -> None:
        """Pass events on as they come; the last piece goes out after the record is written."""
        story, exchange, config = self.story, self.exchange, self.state.context.config
        relay = Relay(call, exchange, story.tally, wants_usage=self.ask.wants_usage)
        first = relay.counted(call.events)
        if story.tally.error is not None or (call.ended and not call.events):
            self._raise_error_within(target)
            raise UpstreamFailure("stream", story.tally.error or "the engine ended the stream before its first event")
        story.first_at = relay.first_at  # 0 while it thinks
        if story.first_at:
            self.state.balancer.succeeded(target)
        recorded = not self.state.writer.failing
        exchange.begin(200, kind=b"text/event-stream; charset=utf-8", headers=self._headers(recorded=recorded))
        relay.thinks(call.comments)
        relay.send(first)
        if story.tally.said:
            call.complete()
        if not call.ended:
            relay.begin(stall_s=config.stall_timeout_s, total_at=self.until)
            try:
                await call
            finally:
                story.longest_gap_s = relay.longest_gap_s
                call.relay = None
                if relay.first_at > story.first_at:
                    story.first_at = relay.first_at
                    self.state.balancer.succeeded(target)
        self._end_stream(call, relay.held)

    def _end_stream(self, call: Call, held: bytes) -> None:
        tally = self.story.tally
        bare = self.story.arm.path is None and call.framed and tally.error is None  # clients take such an end for one
        if call.failure is not None or not (tally.finished or bare):
            reason = call.failure or tally.error or "the engine ended the stream early"
            cause = call.failure.cause if call.failure else "stream: the engine ended it early, or told of an error"
            self.story.cause = f"{cause} ({self.story.endpoint})"
            self._record("cut", 200, error=call.failure.kind if call.failure else "stream")
            self._end_broken(502, f"the answer was cut: {reason}", code="stream_cut")
            return
        if not self._record(*self._outcome()):
            held = b": x-flyball-recording: failed\n\n" + held
        self.exchange.end(held)

    # ends --------------------------------------------------------------------------------------------------------

    def _outcome(self) -> tuple[str, int, str | None]:
        return ("error" if self.story.fallback else "ok"), 200, self.story.fallback

    def _end_cancelled(self) -> None:
        """The client has gone, or the time to drain is over."""
        if self.exchange.state == "gone":
            self._record("aborted", 499, error="client_disconnected")
            return
        self._record("cut" if self.exchange.state == "streaming" else "error", 503, error="drained")
        self._end_broken(503, "the gateway is stopping", code="stopping")

    def _end_broken(self, status: int, message: str, *, code: str) -> None:
        """Whatever can still be said: an error, or an error event and a cut."""
        if self.exchange.state == "streaming":
            self.exchange.cut(b"data: " + error_body(status, message, code=code) + b"\n\n")
        else:
            self.exchange.answer(status, error_body(status, message, code=code), headers=self._headers())

    def _end_refused(self, refusal: HttpRefusal) -> None:
        if refusal.code == "overloaded":
            refusal = self._with_cause(refusal)
        self._record("error" if refusal.status >= 500 else "refused", refusal.status, error=refusal.code)
        refuse(self.exchange, refusal, headers=self._headers())

    def _with_cause(self, refusal: HttpRefusal) -> HttpRefusal:
        """Not only that no slot became free, but why, where endpoints have failed."""
        cause = self.story.cause or self._trouble()
        self.story.cause = cause or refusal.message
        if cause is None:
            return refusal
        return HttpRefusal(refusal.status, f"{refusal.message}; {cause}", code=refusal.code, headers=refusal.headers)

    def _trouble(self) -> str | None:
        """Why no endpoint may be asked now: what they failed in, else what control says of the route."""
        view = self.state.routes.views.get(self.ask.view.route.name)
        missing = None if view is None else view.route.missing or None
        return self.state.balancer.trouble(self.story.arm) or missing

    def _end_engine_refused(self, error: EngineRefused) -> None:
        self.story.cause = f"status {error.status}: the engine refused the request ({self.story.endpoint})"
        self._record("refused", error.status, error=f"engine_status:{error.status}")
        said = f"the engine refused the request: {excerpt(error.body)}"
        body = own_words(error.body) or error_body(error.status, said, code="engine_refused")
        self.exchange.answer(error.status, body, headers=self._headers())

    def _end_failed(self, failure: UpstreamFailure) -> None:
        message = str(failure)
        if failure.kind == "unavailable" and (trouble := self._trouble()) is not None:
            message = f"{message}; {trouble}"
            self.story.cause = trouble
        self.story.cause = self.story.cause or failure.cause
        status = status_of(failure)
        self._record("error", status, error=failure.kind)
        retry = failure.retry or (("retry-after", "1"),)
        refusal = HttpRefusal(status, message, code="engine_error", headers=retry)
        refuse(self.exchange, refusal, headers=self._headers(), body=own_words(failure.body))

    def _headers(self, *, recorded: bool = True) -> bytes:
        """Whose answer this is: the release that gave it, and the variant that the unit was assigned to."""
        return b"x-flyball-request-id: %b\r\n%b%b%b%b%b%b" % (
            self.ask.id.encode(),
            b"x-request-id: %b\r\n" % self.request_id if self.request_id else b"",
            self.story.arm.release_header,
            self.ask.arm.variant_header,
            self.ask.ignored,
            self.story.headers,
            b"" if recorded else RECORDING_FAILED,
        )

    def _record(self, outcome: str, status: int, error: str | None = None) -> bool:
        entry = self._entry(outcome, status, error)
        return entry is not None and self.state.record(entry, "request")

    def _entry(self, outcome: str, status: int, error: str | None = None) -> RequestEntry | None:
        state, ask, story = self.state, self.ask, self.story
        try:
            record = request_record(state, ask, story, outcome=outcome, status=status, error=error)
            count(state, record)
        except Exception:  # noqa: BLE001 - telemetry must never stop an answer
            log.exception("a request could not be described")
            state.lose("request")
            return None
        profile = ask.arm.arm.prompt_path.input_redaction if ask.arm.arm.prompt_path else "default"
        return RequestEntry(
            record=record,
            messages=asked(ask),
            answer=story.tally.answer,
            choices=story.tally.choices,
            redaction=profile,
        )
