"""Calls of tools are compared by function and argument, in any order, and expected silence is measured."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flyball.errors import InputError
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.url_evaluation import evaluate_url

pytest.importorskip("jsonschema")
PARAMETERS = {
    "type": "dict",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
}
TOOL = {"name": "forecast", "description": "The weather", "parameters": PARAMETERS}


def call(arguments: object, name: str = "forecast") -> dict[str, Any]:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": text}}


class Upstream(BaseHTTPRequestHandler):
    """Answers each question with the calls that a test lists."""

    calls: dict[str, list[dict[str, Any]]] = {}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert body["tools"][0]["function"]["parameters"]["type"] == "object"
        found = self.calls[body["messages"][-1]["content"]]
        message = {"role": "assistant", "content": None if found else "Hello.", "tool_calls": found}
        usage = {"prompt_tokens": 9, "completion_tokens": 9}
        raw = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def upstream() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


OSLO, ROME = {"city": "Oslo", "days": 2}, {"city": "Rome"}
CASES: tuple[tuple[str, list[object], list[dict[str, Any]], dict[str, float]], ...] = (
    ("right", [OSLO], [call(OSLO)], {"calls_right": 1, "functions_right": 1, "arguments_right": 1, "valid_calls": 1}),
    ("other order", [OSLO, ROME], [call(ROME), call(OSLO)], {"calls_right": 1, "arguments_right": 1, "valid_calls": 1}),
    (
        "one wrong",
        [OSLO],
        [call({"city": "Oslo", "days": 3})],
        {"calls_right": 0, "arguments_right": 0.5, "valid_calls": 1},
    ),
    ("true is no 1", [{"city": "a", "days": 1}], [call({"city": "a", "days": True})], {"arguments_right": 0.5}),
    ("1.0 is 1", [{"city": "a", "days": 1}], [call('{"city": "a", "days": 1.0}')], {"calls_right": 1}),
    ("one more argument", [ROME], [call({"city": "Rome", "days": 1})], {"calls_right": 0, "arguments_right": 0.5}),
    ("other function", [ROME], [call(ROME, "x")], {"functions_right": 0, "arguments_right": 0, "valid_calls": 0}),
    ("no JSON", [ROME], [call('{"city": ')], {"calls_right": 0, "functions_right": 1, "valid_calls": 0}),
    ("against schema", [ROME], [call({"city": 1})], {"functions_right": 1, "valid_calls": 0, "arguments_right": 0}),
    ("twice", [ROME], [call(ROME), call(ROME)], {"calls_right": 0, "functions_right": 0, "arguments_right": 0.5}),
    ("silence", [], [], {"calls_right": 1, "no_call": 1}),
    ("needless", [], [call(ROME)], {"calls_right": 0, "no_call": 0}),
    ("none", [ROME], [], {"calls_right": 0, "functions_right": 0, "arguments_right": 0, "valid_calls": 0}),
)


def test_each_case_is_scored_by_function_argument_schema_and_silence(
    upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        {
            "text": text,
            "tools": [TOOL],
            "expected": [{"name": "forecast", "arguments": one} for one in wanted],
            "slice": text,
        }
        for text, wanted, _, _ in CASES
    ]
    Path("calls.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Upstream.calls = {text: found for text, _, found, _ in CASES}
    report, items = evaluate_url(upstream, model="m", suite_paths=["tool_calls:calls.jsonl"], out=tmp_path / "out")
    scores = {(one.slice, one.measure): one.score for one in items}
    for text, _, _, expected in CASES:
        assert {name: scores[text, name] for name in expected} == pytest.approx(expected), text
    whole = {m.name: (m.value, m.n) for m in report.measures if m.slice is None}
    assert whole["calls_right"] == (pytest.approx(4 / 13), 13) and whole["no_call"] == (0.5, 2)


def test_rows_like_the_leaderboards_allow_several_values_and_arguments_left_out(
    upstream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    truth = [{"forecast": {"city": ["New York, NY", "NYC"], "days": [2, ""]}}]
    rows = [
        {"id": f"simple_{at}", "question": [[{"role": "user", "content": text}]], "function": [TOOL],
         "ground_truth": truth}
        for at, text in enumerate(("a", "b", "c"))
    ]  # fmt: skip
    Path("bfcl.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Upstream.calls = {
        "a": [call({"city": "new york NY"})],
        "b": [call({"city": "nyc", "days": 2})],
        "c": [call({"city": "nyc", "days": 3})],
    }
    report, _ = evaluate_url(upstream, model="m", suite_paths=["tool_calls:bfcl.jsonl"], out=tmp_path / "out")
    assert next(m.value for m in report.measures if m.name == "calls_right") == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"text": "a", "expected": []}, "tools are missing"),
        ({"text": "a", "tools": [{"type": "function"}], "expected": []}, "a tool has no name"),
        ({"text": "a", "tools": [TOOL]}, "expected is missing"),
        ({"text": "a", "tools": [TOOL], "expected": [{"name": "x"}]}, "none of the tools forecast"),
        ({"text": "a", "tools": [TOOL], "expected": ["forecast"]}, "no object"),
        ({"tools": [TOOL], "expected": []}, "none of its columns asks"),
        ({"question": [[], []], "function": [TOOL], "ground_truth": []}, "has 2 turns"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: object, what: str) -> None:
    (tmp_path / "calls.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=rf"calls\.jsonl:1: .*{what}"):
        load_suite("tool_calls:calls.jsonl", dataset_dir=None, root=tmp_path)
