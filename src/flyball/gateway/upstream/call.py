"""One request to an engine and its answer as it comes in: whole, or as the events of a stream. No I/O of its own.

No buffers but the answer itself, and what awaits a call goes on inside the callback that finishes it. An engine may
be slow, chunked, truncated, malformed or hanging; each of those ends as an UpstreamFailure.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Generator
from typing import Any, Final

from flyball.gateway.upstream.failure_causes import words_of
from flyball.inference.decompression import LEAST_SHARE, MOST_TIMES, PIECE_BYTES, Decoder

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
MAX_EVENT_BYTES: Final = 8 * 1024 * 1024
DRAIN_S: Final = 1.0
THINKING_S: Final = 1.0
"""How long comments of an engine that thinks are held back: until they go on, another engine may still answer."""
_DONE = b"data: [DONE]"
_FIELDS: Final = (b"data:", b"event:", b":", b"id:", b"retry:")
"""How a stream of events begins (HTML, 9.2.6)."""
_LONGEST: Final = 6
_BLANK: Final = b" \t\r\n\xef\xbb\xbf"
_CR: Final = 13
_LF: Final = 10


class UpstreamFailure(Exception):
    """An endpoint failed; `kind` names the failure. `stale`: a pooled connection was closed before any byte.

    `cause` is the kind and, in our own words, why; the message may quote the engine. `status` and `body` are what it
    answered, if it did. `load`: it has too much to do, and said when to come back: `retry` as header lines, `wait_s` in
    seconds. `lasting`: no restart of the endpoint would change it.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        stale: bool = False,
        cause: str = "",
        status: int = 0,
        body: bytes = b"",
        load: bool = False,
        retry: tuple[tuple[str, str], ...] = (),
        wait_s: float = 0.0,
        lasting: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.cause = f"{kind}: {cause or words_of(kind)}"
        self.stale = stale
        self.status, self.body = status, body
        self.load, self.retry, self.wait_s = load, retry, wait_s
        self.lasting = lasting


class EngineConnection(asyncio.Protocol):
    """What a call needs of the connection that it is on; client.py has the rest."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.call: Call | None = None


class OpenCalls:
    """What a call needs of the client that made it: where it and its connection are counted until they end."""

    def __init__(self) -> None:
        self.calls: set[Call] = set()
        self.ending: dict[EngineConnection, float] = {}


class EventSink:
    """What takes a stream after its first events: stream_relay.py fills what is only declared here.

    A base class, so that compiled code calls it directly and neither file imports the other in a circle.
    """

    __slots__ = ()

    def events(self, events: list[bytes]) -> None:
        """Events that have come together."""
        raise NotImplementedError

    def thinks(self, comments: list[bytes]) -> None:
        """Comments of an engine that thinks."""
        raise NotImplementedError

    def chunk(self, chunk: bytes) -> bool:
        """Take a piece as it came, unparsed; False where it must be parsed."""
        raise NotImplementedError


class Call:
    """One request to an engine and its answer, as it comes in; a Course awaits it (see `wake`)."""

    __slots__ = (
        "_on_wake",
        "awake",
        "body",
        "buffer",
        "client",
        "comments",
        "connection",
        "content_type",
        "deadline",
        "deadline_kind",
        "decoder",
        "ended",
        "events",
        "failure",
        "framed",
        "parts",
        "relay",
        "request_id",
        "retry_after",
        "retry_after_ms",
        "show_at",
        "silence_s",
        "size",
        "sniffed",
        "stall_s",
        "status",
        "stream",
        "thinking",
        "total_at",
        "touched",
    )

    def __init__(self, client: OpenCalls) -> None:
        self.client = client
        self.connection: EngineConnection | None = None
        self.status = 0
        self.content_type = b""
        self.retry_after = self.retry_after_ms = ""
        self.request_id = b""
        self.decoder: Decoder | None = None  # of an answer that is compressed all the same
        self.sniffed = False
        self.stream = False  # a 200 with server-sent events
        self.parts: list[bytes] = []
        self.size = 0
        self.body = b""
        self.buffer = b""
        self.events: list[bytes] = []
        self.comments: list[bytes] = []  # before the first event
        self.thinking = True  # no event came yet
        self.show_at = 0.0  # when the comments are worth waking up for
        self.relay: EventSink | None = None  # what takes a stream after its first events
        self.ended = False
        self.failure: UpstreamFailure | None = None
        self.framed = True  # the answer said where it ends, other than by the end of its connection
        self.touched = False  # a byte of the answer came
        self.deadline = 0.0
        self.deadline_kind = ""
        self.silence_s = 0.0
        self.stall_s = 15.0
        self.total_at = 0.0  # no stream goes on beyond, whichever side is slow
        self.awake = False
        self._on_wake: Callable[[Call], None] | None = None

    def __await__(self) -> Generator[Call, None, None]:
        """Until the whole plain answer, the first events of a stream, or a failure; after `sleep` until the end.

        A stream that has sent nothing but comments for THINKING_S wakes too: `thinking` says so.
        """
        if not self.awake:
            yield self

    def add_done_callback(self, callback: Callable[[Call], None]) -> None:
        """Whom to wake; one at most."""
        self._on_wake = callback

    def remove_done_callback(self, _callback: object) -> None:
        """Wake nobody."""
        self._on_wake = None

    def forget_head(self) -> None:
        """What an interim answer (103) says is not the answer's."""
        self.content_type = self.request_id = b""
        self.retry_after = self.retry_after_ms = ""

    def wake(self) -> None:
        """Let what waits go on, now."""
        self.awake = True
        callback, self._on_wake = self._on_wake, None
        if callback is not None:
            callback(self)

    def sleep(self) -> None:
        """Wait for the end of a stream next, after its first events."""
        self.awake = self.ended

    def cancel(self) -> None:
        """Stop the engine's work at once: the connection is cut. Nothing happens when the answer is whole."""
        if not self.ended:
            self.ended = True
            self._cut()

    def fail(self, kind: str, message: str, *, stale: bool = False) -> None:
        """End with a failure; the connection is cut."""
        if not self.ended:
            self.ended = True
            self.failure = UpstreamFailure(kind, message, stale=stale)
            self._cut()
            self.wake()

    def take_failure(self) -> UpstreamFailure:
        """The failure, to be raised: were it kept here besides, it and its traceback would keep each other."""
        failure, self.failure = self.failure, None
        assert failure is not None
        return failure

    def complete(self) -> None:
        """The answer is whole. A connection that has not said so itself gets a moment to."""
        if self.ended:
            return
        self.ended = True
        self.client.calls.discard(self)
        if not self.stream:
            self.body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
            self.parts = []
        if self.connection is not None:
            self.client.ending[self.connection] = time.monotonic() + DRAIN_S
        self.wake()

    def limit(self, kind: str, deadline: float) -> None:
        """Fail with `kind` when the call has neither ended nor been extended by `deadline`."""
        self.deadline, self.deadline_kind = deadline, kind

    def listen(self, silence_s: float, total_at: float) -> None:
        """Fail when an engine is silent for so long before its first event, whatever it thinks, or at `total_at`."""
        now = time.monotonic()
        self.silence_s, self.total_at = silence_s, total_at
        self.show_at = now + THINKING_S
        self.limit("first token", min(now + silence_s, total_at))

    def heard(self) -> None:
        """A byte came before the first event: it is no silence."""
        if self.silence_s and self.thinking:
            self.deadline = min(time.monotonic() + self.silence_s, self.total_at)

    def show(self, now: float) -> None:
        """Wake up for comments that came a while ago and no event since."""
        if self.thinking and self.comments and self.relay is None and now >= self.show_at and not self.awake:
            self.wake()

    def pause(self, writable: bool) -> None:
        """Let the engine wait while the client is slow; that is no stall of the engine."""
        if self.connection is None or self.connection.transport.is_closing():
            return
        if writable:
            self.deadline = min(time.monotonic() + self.stall_s, self.total_at)
            self.connection.transport.resume_reading()
        else:
            self.deadline = self.total_at
            self.connection.transport.pause_reading()

    def _cut(self) -> None:
        self.client.calls.discard(self)
        self.parts, self.buffer = [], b""  # not when the garbage is collected: it may be megabytes
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.call = None
            connection.transport.abort()

    def feed(self, data: bytes) -> None:
        """Bytes of the answer's body."""
        if self.ended:
            return  # what follows [DONE]
        if self.decoder is not None:
            self._decode(data)
            return
        self.size += len(data)
        if self.size > MAX_ANSWER_BYTES:
            self.fail("malformed", "the engine's answer is larger than 64 MiB")
        else:
            self.parts.append(data)

    def _decode(self, data: bytes) -> None:
        """Take in what compressed bytes hold; however much they claim, no more than an answer may have."""
        assert self.decoder is not None
        try:
            for piece in self.decoder.pieces(data):
                self.size += len(piece)
                if self.size > min(MAX_ANSWER_BYTES, PIECE_BYTES + MOST_TIMES * self.decoder.taken):
                    self.fail("malformed", "the engine's compressed answer is larger than 64 MiB, or than any text")
                    return
                self.parts.append(piece)
            if self.decoder.taken > min(MAX_ANSWER_BYTES, PIECE_BYTES + LEAST_SHARE * self.size):
                self.fail("malformed", "the engine's compressed answer holds next to nothing")
        except zlib.error as error:
            self.fail("malformed", f"the engine's answer is not compressed as it says: {error}")

    def _sniff(self) -> None:
        """A stream under another content type is known by how it begins."""
        start = b"".join(self.parts).lstrip(_BLANK)
        if len(start) < _LONGEST and any(mark.startswith(start) for mark in _FIELDS):
            self.parts = [start] if start else []  # however many blanks come, they are not looked at again
            return  # too little to tell
        self.sniffed = True
        self.stream = start.startswith(_FIELDS)

    def flush(self) -> None:
        """Hand on what has come of a stream: all chunks of one read together, so that they leave in one write."""
        if self.silence_s and not self.stream and not self.sniffed and self.status == 200 and self.parts:
            self._sniff()
        if self.stream and self.parts:
            data = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
            self.parts = []
            self._split(data)

    def _split(self, data: bytes) -> None:
        buffer = self.buffer + data if self.buffer else data
        if _CR in buffer:
            buffer = _with_line_feeds(buffer)
        if buffer.endswith(b"\n\n"):
            events = buffer[:-2].split(b"\n\n")
            self.buffer = b""
        else:
            *events, self.buffer = buffer.split(b"\n\n")
            if len(self.buffer) > MAX_EVENT_BYTES:
                self.fail("malformed", "one event of the engine is larger than 8 MiB")
                return
        if self.thinking:
            events = self._thought(events)
        if not events:
            return
        done = buffer.find(_DONE) >= 0 and self._ends_in(events)
        if self.relay is not None:
            self.relay.events(events)
        else:
            self.events += events
            self.wake()
        if done:
            self.complete()

    def _thought(self, events: list[bytes]) -> list[bytes]:
        """Take comments off before the first event: "I am alive" is not a first token."""
        self.heard()
        place = next((place for place, event in enumerate(events) if not is_comment(event)), len(events))
        comments, events = [event for event in events[:place] if event], events[place:]
        if events:
            self.thinking = False
        elif self.buffer.startswith(b":") and _LF in self.buffer:  # a line of its own, without an empty one behind it
            line, _, self.buffer = self.buffer.rpartition(b"\n")
            if is_comment(line):
                comments.append(line)
            else:
                self.buffer = line + b"\n" + self.buffer
        if self.relay is not None:
            self.relay.thinks(comments)
        else:
            self.comments += comments
            self.show(time.monotonic())
        return events

    def _ends_in(self, events: list[bytes]) -> bool:
        """Whether one of the events says [DONE]; those behind it are dropped."""
        for index, event in enumerate(events):
            if event.startswith(_DONE):
                del events[index + 1 :]
                return True
        return False


def is_comment(event: bytes) -> bool:
    """Whether an event holds nothing but comments."""
    return all(not line or line.startswith(b":") for line in event.split(b"\n"))


def _with_line_feeds(data: bytes) -> bytes:
    """Every line end as one LF. A CR at the very end stays, because its LF may still come, unless it ends an event."""
    half = data.endswith(b"\r")
    data = (data[:-1] if half else data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if half:
        data += b"\n" if data.endswith(b"\n") else b"\r"
    return data.lstrip(b"\n")  # the LF of a CR that ended an event
