"""Answers that must be JSON of a schema are measured so, and wrong schemas are named with their row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chat_server import chat_server
from flyball.errors import InputError
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.url_evaluation import evaluate_url

pytest.importorskip("jsonschema")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}


def write(folder: Path, *rows: object) -> str:
    (folder / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "structured:cases.jsonl"


def test_validity_and_fields_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "valid": '```json\n{"city": "Oslo", "days": 3}\n```',
        "wrong type": '{"city": "Oslo", "days": "3"}',
        "more": '{"city": "Oslo", "land": "Norway"}',
        "no json": "Oslo, for three days",
    }
    name = write(
        tmp_path,
        *({"text": text, "schema": SCHEMA, "expected": {"city": "Oslo", "days": 3}} for text in answers),
        {"text": "valid", "schema": json.dumps(SCHEMA)},
    )
    monkeypatch.chdir(tmp_path)
    with chat_server(lambda text, _: answers[text]) as server:
        report, _ = evaluate_url(server.url, model="m", suite_paths=[name], out=tmp_path / "out")
    found = {m.name: m.value for m in report.measures}
    assert (found["valid_schema"], found["valid_json"]) == (pytest.approx(2 / 5), pytest.approx(4 / 5))
    assert found["exact_fields"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 0) / 4)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"text": "a"}, "schema is missing"),
        ({"text": "a", "schema": "{"}, "schema is no JSON"),
        ({"text": "a", "schema": {"type": "objekt"}}, "no JSON Schema"),
        ({"text": "a", "schema": {"properties": {"a": {"$ref": "https://example.org/s"}}}}, "outside of it"),
        ({"schema": SCHEMA}, "none of its columns asks"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: object, what: str) -> None:
    with pytest.raises(InputError, match=what) as refused:
        load_suite(write(tmp_path, row), dataset_dir=None, root=tmp_path)
    assert "cases.jsonl:1" in refused.value.message
