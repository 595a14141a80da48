"""How other people's servers answer, one line each; test_upstream_behaviours.py runs them through the gateway.

Add a line to a table and the runner compares what an `openai` client reads through the gateway with what it reads
directly, and looks at the record. `plain` and `stream` make a line; whatever they cannot say is said with Behaviour.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from mock_engine import MockEngine

ENGINE_MODEL = "vendor/model-1"
Body = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """One way to answer. What is None is not looked at.

    `pieces` are written one by one, of a stream as chunks of HTTP. `respond` chooses another Behaviour by the request's
    body. `tokens`: prompt and completion tokens in the record, to within `within` (a share of them) where the server
    does not count. `said` is the answer in the record, `outcome` its outcome, `status` what the client gets where the
    gateway answers on its own (`same` is False then: what both clients read differs by intent).
    """

    name: str
    pieces: tuple[bytes, ...] = ()
    kind: Literal["plain", "stream"] = "plain"
    api: Literal["chat", "completion", "embedding"] = "chat"
    head: str = "200 OK"
    content_type: str = "application/json"
    headers: str = ""
    cut: bool = False  # the connection ends before the answer does
    pause_s: float = 0.0  # before each piece
    respond: Callable[[Body], Behaviour] | None = None
    request: Body | None = None  # fields beside messages
    same: bool = True
    status: int | None = None
    outcome: str = "ok"
    tokens: tuple[int, int] | None = None
    within: float = 0.0
    estimated: bool | None = None
    said: str | None = None
    attempts: int | None = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".replace(" ", "-")


def plain(name: str, body: Any, **more: Any) -> Behaviour:
    """A whole answer: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Behaviour(name=name, pieces=(data,), **more)


def stream(name: str, *events: Any, done: bool = True, **more: Any) -> Behaviour:
    """Events: bytes as they are, anything else as `data: JSON`; then [DONE] unless `done` is False."""
    pieces = [item if isinstance(item, bytes) else b"data: " + json.dumps(item).encode() + b"\n\n" for item in events]
    if done:
        pieces.append(b"data: [DONE]\n\n")
    return Behaviour(name=name, pieces=tuple(pieces), kind="stream", content_type="text/event-stream", **more)


def answer(message: Any = None, usage: Any = ..., **more: Any) -> Body:
    """An ordinary chat completion; `message` is a text or the message's fields, `more` replaces what is on top."""
    said = {"role": "assistant", "content": message} if message is None or isinstance(message, str) else message
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": ENGINE_MODEL}
    body["choices"] = [{"index": 0, "message": said, "finish_reason": "stop"}]
    if usage is not ...:
        body["usage"] = usage
    return body | more


def event(delta: Any = None, usage: Any = ..., finish: str | None = None, **more: Any) -> Body:
    """An ordinary event of a chat; `delta` is a piece of text or the delta's fields."""
    said = {"content": delta} if isinstance(delta, str) else delta or {}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": ENGINE_MODEL}
    body["choices"] = [{"index": 0, "delta": said, "finish_reason": finish}]
    if usage is not ...:
        body["usage"] = usage
    return body | more


USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
ENDED = event(finish="stop")
COUNTED = event(choices=[], usage=USAGE)
TEXT = "Your parcel is on its way and should arrive tomorrow before noon."
"""Thirteen tokens of most tokenizers, the full stop among them."""

WORDS = [" " + word if place else word for place, word in enumerate(TEXT.split(" "))]
QUESTION_TOKENS = 9
"""About what "Where is my parcel?" takes as a chat of one message."""


def calls(*pieces: tuple[Any, ...], **more: Any) -> Body:
    """A delta with pieces of tool calls: (index, id, name, arguments) each, where None is left out."""
    found = []
    for index, name, function, arguments in pieces:
        named = {"name": function} if function is not None else {}
        call = {"index": index, "id": name, "function": {**named, "arguments": arguments}}
        found.append({key: value for key, value in call.items() if value is not None})
    return {"tool_calls": found, **more}


def tool(name: Any, function: str, arguments: Any, **more: Any) -> Body:
    return {"id": name, "type": "function", "function": {"name": function, "arguments": arguments}, **more}


BOTH = [("a", "weather", '{"city": "Bern"}'), ("b", "weather", '{"city": "Rome"}')]
"""Two parallel calls as they are recorded."""

PLAIN = [
    plain("as OpenAI answers", answer(TEXT, USAGE), tokens=(9, 4), estimated=False, said=TEXT),
    # counts
    plain("no usage", answer(TEXT), tokens=(QUESTION_TOKENS, 13), within=0.3, estimated=True, said=TEXT),
    plain("usage null", answer(TEXT, None), tokens=(QUESTION_TOKENS, 13), within=0.3, estimated=True),
    plain("usage empty", answer(TEXT, {}), tokens=(QUESTION_TOKENS, 13), within=0.3, estimated=True),
    plain("usage a text", answer(TEXT, "13 tokens"), tokens=(QUESTION_TOKENS, 13), within=0.3, estimated=True),
    plain("usage a list", answer(TEXT, []), tokens=(QUESTION_TOKENS, 13), within=0.3, estimated=True),
    plain(
        "usage of nulls",
        answer(TEXT, {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}),
        tokens=(QUESTION_TOKENS, 13),
        within=0.3,
        estimated=True,
    ),
    plain(
        "usage with one null",
        answer(TEXT, {"prompt_tokens": 9, "completion_tokens": None, "total_tokens": 22}),
        tokens=(9, 13),
        estimated=False,
    ),
    plain(
        "usage in floats",
        answer(TEXT, {"prompt_tokens": 9.0, "completion_tokens": 13.0, "total_tokens": 22.0}),
        tokens=(9, 13),
        estimated=False,
    ),
    plain("usage in texts", answer(TEXT, {"prompt_tokens": "9", "completion_tokens": "13"}), tokens=(9, 13)),
    plain("usage of zeros", answer(TEXT, {"prompt_tokens": 0, "completion_tokens": 0}), tokens=(9, 13), within=0.3),
    plain("usage below zero", answer(TEXT, {"prompt_tokens": -1, "completion_tokens": -1}), tokens=(9, 13), within=0.3),
    plain("usage a lie", answer(TEXT * 9, {"prompt_tokens": 9, "completion_tokens": 1}), tokens=(9, 117), within=0.2),
    plain("usage true", answer(TEXT, {"prompt_tokens": True, "completion_tokens": True}), tokens=(9, 13), within=0.3),
    plain("a total alone", answer(TEXT, {"total_tokens": 22}), tokens=(9, 13), within=0.3, estimated=True),
    plain("a prompt alone", answer(TEXT, {"prompt_tokens": 9}), tokens=(9, 13), within=0.2, estimated=True),
    plain(
        "a total beyond its parts, as Gemini thinks",
        answer(TEXT, {"prompt_tokens": 9, "completion_tokens": 13, "total_tokens": 522}),
        tokens=(9, 513),
    ),
    plain(
        "reasoning beside the completion, as xAI counts",
        answer(
            TEXT,
            {
                "prompt_tokens": 9,
                "completion_tokens": 13,
                "total_tokens": 322,
                "completion_tokens_details": {"reasoning_tokens": 300},
            },
        ),
        tokens=(9, 313),
    ),
    plain(
        "reasoning beside the completion without a total",
        answer(
            TEXT,
            {"prompt_tokens": 9, "completion_tokens": 13, "completion_tokens_details": {"reasoning_tokens": 300}},
        ),
        tokens=(9, 313),
    ),
    plain(
        "details null",
        answer(TEXT, {**USAGE, "prompt_tokens_details": None, "completion_tokens_details": None}),
        tokens=(9, 4),
    ),
    plain(
        "details of nulls",
        answer(TEXT, {**USAGE, "completion_tokens_details": {"reasoning_tokens": None}}),
        tokens=(9, 4),
        estimated=False,
    ),
    plain("counts by Anthropic's names", answer(TEXT, {"input_tokens": 9, "output_tokens": 13}), tokens=(9, 13)),
    plain(
        "a cache beside the prompt, as Anthropic counts",
        answer(TEXT, {"input_tokens": 9, "output_tokens": 13, "cache_read_input_tokens": 400}),
        tokens=(409, 13),
    ),
    plain("counts beyond all bounds", answer(TEXT, {"prompt_tokens": 9, "completion_tokens": 1e30}), outcome="ok"),
    # shapes
    plain("index null", answer(choices=[{"index": None, "message": {"content": TEXT}}]), said=TEXT),
    plain("index a text", answer(choices=[{"index": "0", "message": {"content": TEXT}}], usage=USAGE), said=TEXT),
    plain("no index, two choices", answer(choices=[{"message": {"content": c}} for c in "ab"]), said="a"),
    plain("no id, no object, no created", {"choices": [{"message": {"content": TEXT}}], "usage": USAGE}, said=TEXT),
    plain("everything null", dict.fromkeys(answer(TEXT, USAGE)), outcome="ok"),
    plain("no choices at all", {"id": "x", "usage": USAGE}, tokens=(9, 4)),
    plain("an empty object", {}, outcome="ok"),
    plain("choices empty, with usage", answer(choices=[], usage=USAGE), tokens=(9, 4), estimated=False),
    plain("choices null", answer(choices=None, usage=USAGE), tokens=(9, 4)),
    plain(
        "as Ollama's own API", {"model": ENGINE_MODEL, "message": {"role": "assistant", "content": TEXT}, "done": True}
    ),
    plain("as Responses", {"output": [{"content": [{"type": "output_text", "text": TEXT}]}], "usage": None}),
    plain("message null", answer(choices=[{"index": 0, "message": None, "finish_reason": "stop"}], usage=USAGE)),
    plain("content null", answer(None, USAGE), tokens=(9, 4), said=""),
    plain("content parts", answer({"content": [{"type": "text", "text": TEXT}]}), said=TEXT),
    plain("content parts and usage", answer({"content": [{"type": "text", "text": TEXT}]}, USAGE), tokens=(9, 4)),
    plain("content of texts", answer({"content": ["Hel", "lo"]}), said="Hello"),
    plain("content an object", answer({"content": {"type": "text", "text": TEXT}}), said=TEXT),
    plain("content a number", answer({"content": 42}, USAGE), tokens=(9, 4)),
    plain("unknown parts", answer({"content": [{"type": "hologram", "mesh": [1, 2]}]}, USAGE), tokens=(9, 4)),
    plain("error empty", answer(TEXT, USAGE, error={}), tokens=(9, 4), said=TEXT),
    plain("error null", answer(TEXT, USAGE, error=None), tokens=(9, 4), said=TEXT),
    plain("error an empty text", answer(TEXT, USAGE, error=""), tokens=(9, 4), said=TEXT),
    plain("error of zeros", answer(TEXT, USAGE, error={"code": 0, "message": ""}), tokens=(9, 4), said=TEXT),
    plain("error says success", answer(TEXT, USAGE, error={"code": 0, "message": "success"}), said=TEXT),
    plain("finish_reason missing", answer(choices=[{"index": 0, "message": {"content": TEXT}}]), said=TEXT),
    plain("finish_reason an object", answer(choices=[{"message": {"content": "a"}, "finish_reason": {"a": 1}}])),
    plain("finish_reason a number", answer(choices=[{"message": {"content": "a"}, "finish_reason": 2}])),
    plain("created a float", answer(TEXT, USAGE, created=1.5), tokens=(9, 4)),
    plain("a model with a slash escaped", json.dumps(answer(TEXT, USAGE)).replace("/", "\\/").encode(), said=TEXT),
    plain("a model null", answer(TEXT, USAGE, model=None), tokens=(9, 4)),
    plain("a model of another type", answer(TEXT, USAGE, model=7), tokens=(9, 4)),
    plain("pretty printed", json.dumps(answer(TEXT, USAGE), indent=2).encode(), tokens=(9, 4), said=TEXT),
    plain("a lone surrogate", json.dumps(answer("a\ud800b", USAGE)).encode(), tokens=(9, 4), said="a\ufffdb"),
    plain("a surrogate pair", json.dumps(answer("a\ud83d\ude00b", USAGE)).encode(), tokens=(9, 4)),
    plain("invalid UTF-8", json.dumps(answer("aXb", USAGE)).encode().replace(b"X", b"\xff"), said="a\ufffdb"),
    plain("a byte order mark", b"\xef\xbb\xbf" + json.dumps(answer(TEXT, USAGE)).encode(), tokens=(9, 4)),
    plain("UTF-16", json.dumps(answer(TEXT, USAGE)).encode("utf-16"), tokens=(9, 4)),
    plain("NaN in logprobs", json.dumps(answer(TEXT, USAGE, logprobs=[float("nan")])).encode(), tokens=(9, 4)),
    plain("blanks around it", b"\n\n  " + json.dumps(answer(TEXT, USAGE)).encode() + b"\n", tokens=(9, 4)),
    plain("a NUL in the text", answer("a\0b", USAGE), said="a\0b"),
    # what is said beside the text
    plain("reasoning_content", answer({"content": "4", "reasoning_content": TEXT}), tokens=(9, 14), within=0.3),
    plain("reasoning", answer({"content": "4", "reasoning": TEXT}), tokens=(9, 14), within=0.3, said="4"),
    plain("reasoning alone", answer({"content": None, "reasoning": TEXT}), tokens=(9, 13), within=0.3, said=""),
    plain(
        "thinking parts, as Mistral",
        answer({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": TEXT}]}, {"text": "4"}]}),
        tokens=(9, 14),
        within=0.3,
    ),
    plain("a refusal", answer({"content": None, "refusal": TEXT}), tokens=(9, 13), within=0.3, said=TEXT),
    plain("a tool call", answer({"content": None, "tool_calls": [tool("a", "weather", '{"city": "Bern"}')]}, USAGE)),
    plain(
        "arguments an object",
        answer({"content": None, "tool_calls": [tool("a", "weather", {"city": "Bern"})]}, USAGE),
        tokens=(9, 4),
    ),
    plain(
        "arguments an object with a model",
        answer({"content": None, "tool_calls": [tool("a", "choose", {"model": ENGINE_MODEL})]}, USAGE),
        tokens=(9, 4),
    ),
    plain("arguments null", answer({"content": None, "tool_calls": [tool("a", "weather", None)]}, USAGE)),
    plain("tool_calls empty", answer({"content": TEXT, "tool_calls": []}, USAGE), said=TEXT),
    plain("tool_calls null", answer({"content": TEXT, "tool_calls": None}, USAGE), said=TEXT),
    plain(
        "a tool call without usage",
        answer({"content": None, "tool_calls": [tool("a", "weather", '{"city": "Bern"}')]}),
        tokens=(9, 15),
        within=0.4,
    ),
    plain(
        "a legacy function call",
        answer({"content": None, "function_call": {"name": "weather", "arguments": '{"city": "Bern"}'}}),
        tokens=(9, 15),
        within=0.4,
    ),
    plain(
        "speech",
        answer({"content": None, "audio": {"id": "a", "data": "A" * 40_000, "transcript": "Hello."}}, USAGE),
        said="Hello.",
    ),
    plain("a picture", answer({"content": "Here.", "images": [{"image_url": {"url": "data:;base64,AAAA"}}]}, USAGE)),
    plain("three choices", answer(choices=[{"index": n, "message": {"content": TEXT}} for n in range(3)]), within=0.3),
    plain(
        "three choices without usage",
        answer(choices=[{"index": n, "message": {"content": TEXT}} for n in range(3)]),
        tokens=(9, 39),
        within=0.2,
        request={"n": 3},
    ),
    # other kinds
    plain(
        "a completion",
        answer(choices=[{"index": 0, "text": TEXT}]),
        api="completion",
        said=TEXT,
        tokens=(5, 13),
        within=0.2,
    ),
    plain(
        "embeddings",
        {"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "usage": {"prompt_tokens": 5}},
        api="embedding",
        tokens=(5, 0),
        estimated=False,
    ),
    plain(
        "embeddings with a total alone",
        {"data": [{"index": 0, "embedding": [0.5]}], "usage": {"total_tokens": 5}},
        api="embedding",
        tokens=(5, 0),
        estimated=False,
    ),
    plain(
        "embeddings without usage",
        {"data": [{"index": 0, "embedding": [0.5]}]},
        api="embedding",
        tokens=(5, 0),
        within=0.3,
        estimated=True,
    ),
    # what no client could read
    plain("HTML", b"<html>welcome</html>", same=False, outcome="error", attempts=None),
    plain("nothing", b"", same=False, outcome="error", attempts=None),
    plain("half of it", b'{"choices": [{"mess', same=False, outcome="error", attempts=None),
    plain("an error", {"error": {"message": "boom"}}, same=False, outcome="error", attempts=None),
    plain("an error in words", {"error": "boom"}, same=False, outcome="error", attempts=None),
    plain(
        "an error that is the client's",
        {"error": {"message": "too long", "code": 400}},
        same=False,
        status=400,
        outcome="refused",
    ),
    plain(
        "an error that is the client's, by its type",
        {"error": {"message": "too long", "type": "invalid_request_error", "code": None}},
        same=False,
        status=400,
        outcome="refused",
    ),
]

STREAMS = [
    stream(
        "as OpenAI streams", event("Hel"), event("lo"), ENDED, COUNTED, tokens=(9, 4), estimated=False, said="Hello"
    ),
    # counts
    stream("no usage", *map(event, WORDS), ENDED, tokens=(9, 13), within=0.3, estimated=True, said=TEXT),
    stream("usage null throughout", *(event(w, None) for w in WORDS), ENDED, tokens=(9, 13), within=0.3, said=TEXT),
    stream(
        "usage of nulls", event(TEXT), ENDED, event(choices=[], usage=dict.fromkeys(USAGE)), tokens=(9, 13), within=0.3
    ),
    stream(
        "usage of zeros",
        event(TEXT),
        ENDED,
        event(choices=[], usage=dict.fromkeys(USAGE, 0)),
        tokens=(9, 13),
        within=0.3,
    ),
    stream("usage with the end", event("Hello"), event(finish="stop", usage=USAGE), tokens=(9, 4), estimated=False),
    stream("usage with the last text", event("Hel"), event("lo", USAGE, "stop"), tokens=(9, 4), estimated=False),
    stream(
        "usage in every event, as vLLM continues",
        *(event(w, {"prompt_tokens": 9, "completion_tokens": n + 1}) for n, w in enumerate(WORDS)),
        ENDED,
        event(choices=[], usage={"prompt_tokens": 9, "completion_tokens": 13, "total_tokens": 22}),
        tokens=(9, 13),
        estimated=False,
        said=TEXT,
    ),
    stream(
        "usage at the beginning alone",
        event({"role": "assistant"}, {"prompt_tokens": 9, "completion_tokens": 1}),
        *map(event, WORDS),
        ENDED,
        tokens=(9, 13),
        within=0.3,
        estimated=True,
    ),
    stream(
        "usage in floats",
        event("Hello"),
        ENDED,
        event(choices=[], usage={"prompt_tokens": 9.0, "completion_tokens": 4.0}),
        tokens=(9, 4),
    ),
    stream("usage before the end", event("Hello"), COUNTED, ENDED, tokens=(9, 4), estimated=False),
    stream("many tokens an event", event(TEXT), event(" " + TEXT), ENDED, tokens=(9, 26), within=0.2, estimated=True),
    stream("a letter an event", *map(event, TEXT), ENDED, tokens=(9, 13), within=0.3, estimated=True, said=TEXT),
    stream("usage of choices null", event("Hello"), ENDED, event(choices=None, usage=USAGE), tokens=(9, 4)),
    stream("usage beside, as Groq", event("Hello"), event(finish="stop", x_groq={"usage": USAGE}), tokens=(9, 4)),
    stream(
        "timings alone, as llama.cpp",
        event("Hello"),
        event(finish="stop", timings={"prompt_n": 5, "cache_n": 4, "predicted_n": 4}),
        tokens=(9, 4),
        estimated=False,
    ),
    # shapes
    stream("keep-alive objects", {}, b"data: {}\n\n", event("Hello"), event(choices=[]), ENDED, said="Hello"),
    stream("an empty event of data", b"data:\n\n", event("Hello"), ENDED, COUNTED, said="Hello"),
    stream("index null", event(choices=[{"index": None, "delta": {"content": "Hello"}}]), ENDED, said="Hello"),
    stream("no index", event(choices=[{"delta": {"content": "Hello"}}]), ENDED, said="Hello"),
    stream("index a float", event(choices=[{"index": 0.0, "delta": {"content": "Hello"}}]), ENDED, said="Hello"),
    stream("no id, no object", {"choices": [{"delta": {"content": "Hello"}}]}, ENDED, COUNTED, tokens=(9, 4)),
    stream("content parts", event({"content": [{"type": "text", "text": "Hello"}]}), ENDED, COUNTED, said="Hello"),
    stream("delta null", event(choices=[{"index": 0, "delta": None}]), event("Hello"), ENDED, said="Hello"),
    stream("delta missing", event(choices=[{"index": 0}]), event("Hello"), ENDED, said="Hello"),
    stream("error null", event("Hello", error=None), ENDED, COUNTED, said="Hello", tokens=(9, 4)),
    stream("error empty", event("Hello", error={}), ENDED, COUNTED, said="Hello", tokens=(9, 4)),
    stream("error an empty text", event("Hello", error=""), ENDED, COUNTED, said="Hello", tokens=(9, 4)),
    stream("finish_reason empty until the end", event("Hel", finish=""), event("lo", finish=""), ENDED, said="Hello"),
    stream("no [DONE]", event("Hello"), ENDED, COUNTED, done=False, said="Hello", tokens=(9, 4)),
    stream("no end mark at all", event("Hello"), done=False, said="Hello"),
    stream("no finish_reason", event("Hello"), COUNTED, said="Hello", tokens=(9, 4)),
    stream(
        "an empty first choice list, as Azure",
        event(choices=[], prompt_filter_results=[]),
        event("Hello"),
        ENDED,
        said="Hello",
    ),
    stream("data without a blank", b"data:" + json.dumps(event("Hello")).encode() + b"\n\n", ENDED, said="Hello"),
    stream("[DONE] without a blank", event("Hello"), ENDED, b"data:[DONE]\n\n", done=False, said="Hello"),
    stream("CRLF", json.dumps(event("Hello")).encode().join([b"data: ", b"\r\n\r\n"]), ENDED, said="Hello"),
    stream(
        "names and ids of events",
        b"event: message\nid: 1\ndata: " + json.dumps(event("Hello")).encode() + b"\n\n",
        ENDED,
        said="Hello",
    ),
    stream(
        "data over many lines",
        b"data: " + json.dumps(event("Hello"), indent=1).encode().replace(b"\n", b"\ndata: ") + b"\n\n",
        ENDED,
        said="Hello",
    ),
    stream(
        "comments between",
        b": OPENROUTER PROCESSING\n\n",
        event("Hel"),
        b": ping\n\n",
        event("lo"),
        ENDED,
        said="Hello",
    ),
    stream(
        "a lone surrogate", json.dumps(event("a\ud800b")).encode().join([b"data: ", b"\n\n"]), ENDED, said="a\ufffdb"
    ),
    stream(
        "a surrogate pair in two events",
        json.dumps(event("a\ud83d")).encode().join([b"data: ", b"\n\n"]),
        json.dumps(event("\ude00b")).encode().join([b"data: ", b"\n\n"]),
        ENDED,
        said="a😀b",
    ),
    stream("legacy text in a chat", event(choices=[{"index": 0, "text": "Hello"}]), ENDED, said="Hello"),
    stream(
        "a message in place of a delta",
        event(choices=[{"index": 0, "message": {"content": "Hello"}}]),
        ENDED,
        said="Hello",
    ),
    stream(
        "the whole message once more at the end, as MiniMax",
        event("Hel"),
        event("lo"),
        event(choices=[{"index": 0, "finish_reason": "stop", "message": {"content": "Hello"}}]),
        said="Hello",
    ),
    stream(
        "two choices",
        *(event(choices=[{"index": n, "delta": {"content": TEXT}}]) for n in (0, 1)),
        ENDED,
        tokens=(9, 26),
        within=0.2,
        said=TEXT,
    ),
    stream(
        "two choices in an event",
        event(choices=[{"index": n, "delta": {"content": TEXT}} for n in (0, 1)]),
        ENDED,
        tokens=(9, 26),
        within=0.2,
        said=TEXT,
    ),
    # what is said beside the text
    stream(
        "reasoning_content",
        *(event({"reasoning_content": w}) for w in WORDS),
        event("4"),
        ENDED,
        tokens=(9, 14),
        within=0.3,
        said="4",
    ),
    stream("reasoning", *(event({"reasoning": w}) for w in WORDS), ENDED, tokens=(9, 13), within=0.3, said=""),
    stream(
        "reasoning twice over",
        *(event({"reasoning": w, "reasoning_content": w}) for w in WORDS),
        ENDED,
        tokens=(9, 13),
        within=0.3,
    ),
    stream("a refusal", *(event({"refusal": w}) for w in WORDS), ENDED, tokens=(9, 13), within=0.3, said=TEXT),
    stream(
        "a tool call",
        event(calls((0, "a", "weather", ""))),
        event(calls((0, None, None, '{"city": "Bern"}'))),
        ENDED,
        COUNTED,
        tokens=(9, 4),
    ),
    stream(
        "a tool call at once, without usage",
        event(calls((0, "a", "weather", '{"city": "Bern"}'))),
        ENDED,
        tokens=(9, 15),
        within=0.4,
    ),
    stream(
        "arguments an object",
        event(calls((0, "a", "weather", {"city": "Bern"}))),
        ENDED,
        tokens=(9, 15),
        within=0.4,
        same=False,
    ),
    stream(
        "a legacy function call",
        event({"function_call": {"name": "weather", "arguments": ""}}),
        event({"function_call": {"arguments": '{"city": "Bern"}'}}),
        ENDED,
        tokens=(9, 15),
        within=0.4,
    ),
    stream(
        "speech",
        event({"audio": {"id": "a", "transcript": "Hel"}}),
        event({"audio": {"data": "A" * 4000}}),
        event({"audio": {"transcript": "lo"}}),
        ENDED,
        said="Hello",
    ),
    # a completion
    stream(
        "a completion",
        event(choices=[{"index": 0, "text": "Hel"}]),
        event(choices=[{"index": 0, "text": "lo", "finish_reason": "stop"}]),
        COUNTED,
        api="completion",
        tokens=(9, 4),
        said="Hello",
    ),
    # errors in place of an answer
    stream(
        "an error first, the client's",
        {"error": {"message": "too long", "code": 400}},
        same=False,
        status=400,
        outcome="refused",
        tokens=(0, 0),
    ),
    stream(
        "an error first, the client's by its type",
        {"error": {"message": "too long", "type": "BadRequestError"}},
        done=False,
        same=False,
        status=400,
        outcome="refused",
    ),
    stream("an error first, the server's", {"error": {"message": "boom"}}, same=False, outcome="error", attempts=None),
    stream(
        "an error later on",
        event("Hel"),
        {"error": {"message": "boom", "code": 500}},
        done=False,
        pause_s=0.05,
        outcome="cut",
    ),
]


def squeezed(case: Behaviour, encoding: str, wbits: int) -> Behaviour:
    """The same answer compressed, each piece flushed, although identity was asked for."""
    packer = zlib.compressobj(wbits=wbits)
    pieces = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in case.pieces]
    pieces[-1] += packer.flush()
    headers = f"{case.headers}content-encoding: {encoding}\r\n"
    return replace(case, name=f"{case.name}, {encoding} {wbits}", pieces=tuple(pieces), headers=headers)


def typed(case: Behaviour, content_type: str) -> Behaviour:
    """The same stream under another content type."""
    return replace(case, name=f"{case.name}, as {content_type or 'nothing'}", content_type=content_type)


_STREAM = STREAMS[0]
SERVERS = [
    *(squeezed(case, "gzip", 31) for case in (PLAIN[0], _STREAM)),
    *(squeezed(case, "identity, gzip", 31) for case in (PLAIN[0], _STREAM)),
    *(squeezed(case, "deflate", 15) for case in (PLAIN[0], _STREAM)),
    *(squeezed(case, "deflate", -15) for case in (PLAIN[0], _STREAM)),
    squeezed(typed(_STREAM, "text/plain"), "gzip", 31),
    replace(
        PLAIN[0],
        name="said to be gzip and is not",
        headers="content-encoding: gzip\r\n",
        same=False,
        status=502,
        outcome="error",
        attempts=3,
        tokens=None,
        said=None,
        estimated=None,
    ),
    replace(
        PLAIN[0],
        name="brotli",
        headers="content-encoding: br\r\n",
        same=False,
        status=502,
        outcome="error",
        attempts=3,
        tokens=None,
        said=None,
        estimated=None,
    ),
    *(typed(_STREAM, kind) for kind in ("text/plain; charset=utf-8", "application/json", "application/octet-stream")),
    *(typed(_STREAM, kind) for kind in ("", "Text/Event-Stream", "application/stream+json")),
    typed(
        stream("a comment first", b": hello\n\n", event("Hel"), event("lo"), ENDED, COUNTED, said="Hello"), "text/plain"
    ),
    typed(stream("named events", *(b"event: message\n" + piece for piece in _STREAM.pieces[:-1]), said="Hello"), ""),
    stream("a mark of the byte order", b"\xef\xbb\xbf: hello\n\n", event("Hel"), event("lo"), ENDED, COUNTED),
    stream("comments while it thinks", b": OPENROUTER PROCESSING\n\n", b":\n\n", event("Hello"), ENDED, said="Hello"),
    stream("comments between events", event("Hel"), b": ping\n\n", event("lo"), b":\n\n", ENDED, COUNTED, said="Hello"),
    stream("a retry time", b"retry: 3000\n\n", b"id: 1\n\n", event("Hello"), ENDED, said="Hello"),
    replace(PLAIN[0], name="blank lines before the answer", pieces=(b"\n\n  \n", *PLAIN[0].pieces)),
    replace(PLAIN[0], name="no content type", content_type=""),
    replace(PLAIN[0], name="text/plain", content_type="text/plain"),
    replace(PLAIN[0], name="a whole answer to a stream's request", kind="stream"),
]

BEHAVIOURS = [*PLAIN, *STREAMS, *SERVERS]


class OddEngine(MockEngine):
    """Answers as the Behaviour says that it is given before each request."""

    def __init__(self, behaviour: Behaviour = BEHAVIOURS[0]) -> None:
        super().__init__(model=ENGINE_MODEL)
        self.odd = behaviour

    async def _answer(self, mode: str, head: str, body: Body, writer: asyncio.StreamWriter) -> bool:
        odd = self.odd if self.odd.respond is None else self.odd.respond(body)
        lines = f"HTTP/1.1 {odd.head}\r\ncontent-type: {odd.content_type}\r\n{odd.headers}"
        if odd.kind == "plain":
            data = b"".join(odd.pieces)
            writer.write(f"{lines}content-length: {len(data) + odd.cut}\r\n\r\n".encode() + data)
        else:
            writer.write(f"{lines}transfer-encoding: chunked\r\n\r\n".encode())
            for piece in odd.pieces:
                if odd.pause_s:
                    await writer.drain()
                    await asyncio.sleep(odd.pause_s)
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            writer.write(b"" if odd.cut else b"0\r\n\r\n")
        await writer.drain()
        return not odd.cut


def refused(status: int, error: Any) -> Behaviour:
    """What `respond` may give: a refusal with this `error`."""
    body = json.dumps({"error": error}).encode()
    return replace(BEHAVIOURS[0], name="refused", pieces=(body,), kind="plain", head=f"{status} Refused")
