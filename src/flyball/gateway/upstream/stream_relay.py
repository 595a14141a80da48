"""Passes one stream on: an engine's events to the client as they come, hardly any of them parsed. I/O: sockets."""

from __future__ import annotations

import time

from flyball.gateway.http.exchange import Exchange
from flyball.gateway.upstream.call import MAX_ANSWER_BYTES, Call, EventSink
from flyball.gateway.upstream.sse import AnswerContent


class Relay(EventSink):
    """What a Call hands its stream to after the first events."""

    __slots__ = (
        *("call", "connection", "exchange", "first_at", "held", "last_at", "longest_gap_s", "stall_s", "tally"),
        "wants_usage",
    )

    def __init__(self, call: Call, exchange: Exchange, tally: AnswerContent, *, wants_usage: bool) -> None:
        self.call, self.exchange, self.tally, self.wants_usage = call, exchange, tally, wants_usage
        self.connection = exchange.connection
        self.held = b""
        """The event that says [DONE]: the last byte that matters to a client, sent once the record is written."""
        self.last_at = time.monotonic()
        self.first_at = 0.0 if call.thinking else self.last_at
        self.longest_gap_s = 0.0
        self.stall_s = 0.0

    def begin(self, *, stall_s: float, total_at: float) -> None:
        """Take what comes from now on; an engine that thinks still has the time of a first token."""
        call, self.last_at = self.call, time.monotonic()
        self.stall_s = stall_s
        call.stall_s, call.total_at = (call.thinking and call.silence_s) or stall_s, total_at
        call.limit("first token" if call.thinking else "stall", min(self.last_at + call.stall_s, total_at))
        self.exchange.on_writable = call.pause
        if self.exchange.blocked:  # by the first events already
            call.pause(False)
        call.relay = self
        call.sleep()

    def events(self, events: list[bytes]) -> None:
        """Events that have come together."""
        if not self.first_at:
            self.first_at = self.last_at = time.monotonic()
            self.call.stall_s, self.call.deadline_kind = self.stall_s, "stall"
        self._arrived()
        self.send(self.counted(events))
        if self.tally.said:
            self.call.complete()

    def thinks(self, comments: list[bytes]) -> None:
        """Comments of an engine that thinks, once the head of the answer has left."""
        if comments:
            self.exchange.send(b"\n\n".join(comments) + b"\n\n")

    def chunk(self, chunk: bytes) -> bool:
        """One more piece of text alone, which is most of what comes, goes on without being parsed; else False."""
        call, exchange = self.call, self.exchange
        if call.buffer or call.size > MAX_ANSWER_BYTES or not exchange.modern:
            return False
        relayed = self.tally.relayed(chunk)
        if relayed is None:
            return False
        call.size += len(chunk)
        self._arrived()
        exchange.relay(relayed)
        return True

    def counted(self, events: list[bytes]) -> list[bytes]:
        """Events as the client gets them, and counted."""
        found = [self.tally.event(event, wants_usage=self.wants_usage) for event in events]
        return [event for event in found if event is not None]

    def send(self, events: list[bytes]) -> None:
        """Send events, but hold the one that says [DONE] back."""
        if self.tally.said and events:
            *events, held = events
            self.held += held + b"\n\n"
        if events:
            self.exchange.send(b"\n\n".join(events) + b"\n\n")

    def _arrived(self) -> None:
        call, now = self.call, time.monotonic()
        gap = now - self.last_at
        if gap > self.longest_gap_s:
            self.longest_gap_s = gap
        self.last_at = now
        if not self.connection.blocked_since:  # else the engine waits for the client
            late = now + call.stall_s
            call.deadline = late if late < call.total_at else call.total_at
