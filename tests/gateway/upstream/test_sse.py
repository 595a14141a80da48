"""Events that follow a learned pattern come out, and count, exactly as if each had been parsed."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.server import Connection, HttpServer
from flyball.gateway.upstream.call import Call
from flyball.gateway.upstream.client import EndpointClient, UpstreamConnection
from flyball.gateway.upstream.sse import AnswerContent
from flyball.gateway.upstream.stream_relay import Relay
from flyball.storage.routing import Endpoint

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}
PIECES = st.one_of(st.text(max_size=8), st.sampled_from(['"', "\\", "\n", '","content":"', "ü", "", '"}}]', "engine"]))


def event(text: str | None, *, spaced: bool, model_last: bool, field: str = "content", **choice: Any) -> bytes:
    body: dict[str, Any] = {**HEAD, "model": "engine"}
    said: dict[str, Any] = {} if text is None else {field: text}
    said = said if field == "text" else {"delta": said}
    body["choices"] = [{"index": 0, **said, "finish_reason": None, **choice}]
    if model_last:
        body["model"] = body.pop("model")
    separators = (", ", ": ") if spaced else (",", ":")
    return b"data: " + json.dumps(body, separators=separators, ensure_ascii=len(text or "") % 2 == 0).encode()


def parsed_each(events: list[bytes]) -> tuple[list[bytes | None], AnswerContent]:
    """The same events with nothing learned."""
    tally, out = AnswerContent("shop"), []
    for item in events:
        tally.pattern = None
        out.append(tally.event(item, wants_usage=False))
    return out, tally


@given(texts=st.lists(PIECES, min_size=1, max_size=12), spaced=st.booleans(), model_last=st.booleans())
def test_learned_events_are_the_same_as_parsed_ones(texts: list[str], spaced: bool, model_last: bool) -> None:
    events = [event(text, spaced=spaced, model_last=model_last) for text in texts]
    events.append(event(None, spaced=spaced, model_last=model_last, finish_reason="stop"))
    expected, slow = parsed_each(events)
    tally = AnswerContent("shop")
    assert [tally.event(item, wants_usage=False) for item in events] == expected
    assert (tally.answer, tally.deltas, tally.finish_reason) == (slow.answer, slow.deltas, slow.finish_reason)
    assert tally.answer == "".join(texts)


FIELDS = ["content", "reasoning_content", "reasoning", "text"]


@given(pieces=st.lists(st.tuples(st.sampled_from(FIELDS), PIECES), min_size=1, max_size=12), spaced=st.booleans())
def test_reasoning_and_legacy_text_are_learned_too_and_never_mixed_up(
    pieces: list[tuple[str, str]], spaced: bool
) -> None:
    events = [event(text, spaced=spaced, model_last=False, field=field) for field, text in pieces]
    expected, slow = parsed_each(events)
    tally = AnswerContent("shop")
    assert [tally.event(item, wants_usage=False) for item in events] == expected
    assert (tally.answer, tally.deltas, tally.choices) == (slow.answer, slow.deltas, slow.choices)
    assert tally.answer == "".join(text for field, text in pieces if field in ("content", "text"))


@pytest.mark.parametrize("field", FIELDS)
def test_each_kind_of_text_takes_the_short_way(field: str) -> None:
    events = [event(text, spaced=False, model_last=True, field=field) + b"\n\n" for text in ("one", "two", "three")]
    reader = Reader(short=True).read([ANSWER_HEAD, *map(chunked, events)])
    assert reader.relays == 2
    assert "".join(reader.tally.spoken()) == "onetwothree" and reader.tally.deltas == 3


def test_a_pattern_is_used_at_all() -> None:
    tally = AnswerContent("shop")
    first, second = (event(text, spaced=False, model_last=True) for text in ("one", "two"))
    assert tally.pattern is None
    tally.event(first, wants_usage=False)
    assert tally.pattern is not None and tally.pattern.text(second) == b"two"
    assert tally.event(second, wants_usage=False) == second.replace(b'"engine"', b'"shop"')


def test_logprobs_and_other_choices_are_parsed_each() -> None:
    tally = AnswerContent("shop")
    tally.event(event("a", spaced=False, model_last=False, logprobs={"content": [{"token": "a"}]}), wants_usage=False)
    tally.event(event("b", spaced=False, model_last=False, index=1), wants_usage=False)
    assert tally.pattern is None
    assert tally.texts == {0: ["a"], 1: ["b"]}


def chunked(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


class Wire:
    """A transport that keeps what is written and is never full."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, _name: str) -> None: ...

    def set_write_buffer_limits(self, *, high: int) -> None: ...

    def resume_reading(self) -> None: ...

    abort = close = resume_reading


class Reader:
    """An engine's connection and the relay to a client; without the short way every event is parsed."""

    def __init__(self, *, short: bool) -> None:
        self.tally, self.wire, self.short, self.relays = AnswerContent("shop"), Wire(), short, 0
        client = EndpointClient(Endpoint(id="e", url="http://127.0.0.1:1", slots=1), connect_timeout_s=1)
        self.connection = UpstreamConnection(client)
        self.connection.connection_made(Wire())
        self.call = Call(client)
        self.connection.start(self.call, b"")
        edge = HttpServer(lambda _exchange: None, max_body_bytes=1000)
        to_client = Connection(edge)
        to_client.connection_made(self.wire)
        exchange = Exchange(to_client)
        exchange.state = "streaming"
        self.relay = Relay(self.call, exchange, self.tally, wants_usage=False)
        self.relay.begin(stall_s=60.0, total_at=math.inf)

    @property
    def out(self) -> bytes:
        """What the client has got, without the framing of chunks, and then what is held back for it."""
        out = b""
        for written in self.wire.written:
            head, _, rest = written.partition(b"\r\n")
            assert int(head, 16) == len(rest) - 2 and rest.endswith(b"\n\n\r\n")
            out += rest[:-2]
        return out + self.relay.held

    def read(self, pieces: list[bytes]) -> Reader:
        for piece in pieces:
            if not self.short:
                self.tally.pattern = None
            self.call.touched = False
            self.connection.data_received(piece)
            self.relays += not self.call.touched  # the parser knows nothing of it
        return self


ANSWER_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
CUTS = st.lists(st.integers(0, 10_000), max_size=12)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[begin:end] for begin, end in itertools.pairwise(ends)]


@given(texts=st.lists(PIECES, min_size=1, max_size=10), spaced=st.booleans(), together=st.integers(1, 3), places=CUTS)
def test_the_short_way_gives_the_same_however_the_bytes_are_cut(
    texts: list[str], spaced: bool, together: int, places: list[int]
) -> None:
    """Chunks of one to three events, whole or cut anywhere, in heads, bodies and between CR and LF."""
    events = [event(text, spaced=spaced, model_last=False) + b"\n\n" for text in texts]
    events += [event(None, spaced=spaced, model_last=False, finish_reason="stop") + b"\n\n", b"data: [DONE]\n\n"]
    chunks = [chunked(b"".join(events[n : n + together])) for n in range(0, len(events), together)]
    whole, wild = [ANSWER_HEAD, *chunks, b"0\r\n\r\n"], cut(ANSWER_HEAD + b"".join(chunks) + b"0\r\n\r\n", places)
    expected = Reader(short=False).read(whole)
    for pieces in (whole, wild):
        found = Reader(short=True).read(pieces)
        assert found.out == expected.out and found.call.ended and found.call.failure is None
        assert (found.tally.answer, found.tally.deltas) == (expected.tally.answer, expected.tally.deltas)
    assert expected.tally.answer == "".join(texts)


def test_the_short_way_is_taken_for_all_but_the_first_piece_and_the_end() -> None:
    events = [event(text, spaced=False, model_last=True) + b"\n\n" for text in ("one", "two", "drei", 'a "word"', "ü")]
    reader = Reader(short=True).read([ANSWER_HEAD, *map(chunked, events), chunked(b"data: [DONE]\n\n"), b"0\r\n\r\n"])
    assert reader.relays == 3, "the first teaches, a quote is parsed"
    assert reader.tally.answer == 'onetwodreia "word"ü' and reader.tally.deltas == 5


@pytest.mark.parametrize(
    "chunk",
    [
        b"%X\r\n%b\r\n",  # as nobody writes it: the parser's affair
        b"0%x\r\n%b\r\n",
        b"%x;name=value\r\n%b\r\n",
        b"%x \r\n%b\r\n",
    ],
)
def test_chunks_that_are_framed_otherwise_are_left_to_the_parser(chunk: bytes) -> None:
    first, second = (event(text, spaced=False, model_last=True) + b"\n\n" for text in ("one", "two and some more"))
    tally = AnswerContent("shop")
    tally.event(first[:-2], wants_usage=False)
    assert tally.relayed(chunked(second)) is not None
    assert tally.relayed(chunk % (len(second), second)) is None
    assert tally.relayed(chunked(second) + b"5\r\n") is None and tally.relayed(chunked(second)[1:]) is None
    assert tally.relayed(b"%x\r\n%b\r\n" % (len(second) + 1, second)) is None, "a length that lies"


@pytest.mark.parametrize("length", [1, 40, 200, 3900, 4096, 5000, 100_000])
def test_a_piece_of_any_length_comes_through(length: int) -> None:
    events = [event(text, spaced=False, model_last=True) + b"\n\n" for text in ("one", "x" * length, "end")]
    reader = Reader(short=True).read([ANSWER_HEAD, *map(chunked, events)])
    plain = Reader(short=False).read([ANSWER_HEAD, *map(chunked, events)])
    assert reader.out == plain.out and reader.tally.answer == "one" + "x" * length + "end"


def test_bytes_that_look_like_a_chunk_inside_another_are_its_body() -> None:
    """An engine that lies: the body of a chunk is itself a chunk's bytes."""
    first, second = (event(text, spaced=False, model_last=True) + b"\n\n" for text in ("one", "two"))
    inner = chunked(second)
    pieces = [ANSWER_HEAD, chunked(first), b"%x\r\n" % len(inner), inner, b"\r\n"]
    reader, plain = Reader(short=True).read(pieces), Reader(short=False).read(pieces)
    assert reader.relays == 0 and reader.out == plain.out and reader.tally.answer == plain.tally.answer
