"""Settings of each kind serialise to the bytes that releases have always had, and only engines/ names a kind."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import flyball
from flyball.engines.catalog import KINDS, is_elsewhere, kind_named, kind_of, stored_terms
from flyball.engines.kind import Server
from flyball.errors import InputError
from flyball.inference.prompt_path import engine_request
from flyball.records import ModelVersion, Release, canonical_bytes, fingerprint, name_of, parse
from flyball.registry.release_composition import compose
from flyball.settings import parse_settings

SOURCES = Path(flyball.__file__).parent
MODEL = ModelVersion(
    project="shop",
    training_run=None,
    dataset=None,
    architecture="llama",
    parameters=1,
    context_length=128,
    formats=("gguf:q8_0", "safetensors"),
    files=(),
    chat_template="{{ tools }}",
)
FLAGS = {
    "quantization": "fp8",
    "tool-call-parser": "hermes",
    "gpu-memory-utilization": 0.9,
    "enforce-eager": True,
}
THERE = {"kind": "openai", "url": "https://api.example.com", "model": "small", "api_key": "env:THERE"}
SERVED = {"kind": "open-inference", "url": "http://x:8000", "model": "desk", "version": "2", "api_key": "env:THERE"}
ASKED = {"messages": [{"role": "user", "content": "my card"}]}


@pytest.mark.parametrize(
    ("engine", "labels", "chat"),
    [
        ({}, "e14af0e8b5715cbe", "1336f1f27370168b"),
        ({"batch": 2048, "slots": 8}, "4e38ce880e7486aa", "a98bbbf331990218"),
        ({"usd_per_million": [1, 2]}, "e14af0e8b5715cbe", "1336f1f27370168b"),
        ({"kind": "vllm"}, "310e3da908856c7f", "8da965791f9e92f2"),
        ({"kind": "vllm", "slots": 64, "flags": FLAGS}, "e2714b31a5ad0ec5", "110e4da6dbf28871"),
        (THERE, "5ff48510d7e09d30", "6955e53d566a3e28"),
        ({"kind": "openai", "url": "https://x/v1/"}, "f50a35a982d1cfdb", "bb14c68e721aceff"),
        (
            {"kind": "openai", "url": "https://x/api/paas/v4/", "headers": {"a": "b"}},
            "80fe0a6ac088fe64",
            "841501fa802a4cc2",
        ),
        (
            {"kind": "openai", "url": "https://x/v1/chat/completions", "model": ""},
            "a52b2b8ec893d3f5",
            "2446798114f53bd9",
        ),
        (SERVED, "960382cee656de9a", "9776bd863da3580b"),
    ],
)
def test_the_same_settings_make_releases_of_the_names_that_they_had_before_kinds_were_typed(
    engine: dict[str, Any], labels: str, chat: str
) -> None:
    """The names were written down by the code of before (commit ae493d1), the last one when its kind came."""
    made = [composed(engine, task) for task in ("classification", "chat")]
    assert [fingerprint(release)[:16] for release in made] == [labels, chat]


def composed(engine: dict[str, Any], task: str) -> Release:
    document = {
        "version": 1,
        "project": "shop",
        "data": {"sources": [{"path": "rows.jsonl"}]},
        "release": {"engine": engine},
    }
    return compose(
        parse_settings(document).release,
        project="shop",
        task=task,
        model=MODEL,
        labels=("a", "b") if task == "classification" else (),
        redaction="none",
    )


def stored(kind: str, flags: dict[str, Any]) -> bytes:
    """A release's bytes as the first version wrote them, prices and keys among the flags."""
    content = {
        "project": "shop",
        "task": "classification",
        "model": "m" * 64,
        "adapter": None,
        "artifact": "m" * 64,
        "chat_template": "",
        "system_prompt": None,
        "examples": [],
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 128},
        "constraint": {"kind": "labels", "labels": ["billing", "refund"], "schema": None},
        "input_redaction": "none",
        "guardrails": [],
        "engine": {"kind": kind, "context": 256, "slots": 4, "threads": 1, "flags": flags},
    }
    document = {"type": "Release", "version": 1, "content": content}
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


OLD_TERMS = {"usd_per_million": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("kind", "flags", "asked"),
    [
        ("llama.cpp", {"batch": 64, **OLD_TERMS}, {"grammar": 'root ::= "billing" | "refund"'}),
        (
            "vllm",
            {"quantization": "fp8", **OLD_TERMS},
            {"model": "base", "structured_outputs": {"choice": ["billing", "refund"]}},
        ),
        ("openai", {"url": "http://there/v1", "model": "small", "api_key": "env:OLD", **OLD_TERMS}, {"model": "small"}),
    ],
)
def test_a_stored_release_of_each_kind_keeps_its_name_and_is_asked_as_before(
    kind: str, flags: dict[str, Any], asked: dict[str, Any], tmp_path: Path
) -> None:
    body = stored(kind, flags)
    release = parse(body, Release)
    assert canonical_bytes(release) == body and name_of(release) == hashlib.sha256(body).hexdigest()
    request = engine_request(release, ASKED)
    assert request.items() >= {"temperature": 0, **asked}.items()
    assert stored_terms(release) == (flags.get("api_key"), (1.0, 2.0))
    found = kind_of(release)
    if is_elsewhere(release):
        assert found.server(release.engine) == Server(url="http://there", model="small")
        assert request["messages"][0]["content"].endswith("these labels and nothing else: billing, refund")
    else:
        start = found.started(release, model=tmp_path, adapter=None, program=("vllm", "serve"))
        assert start.batch == flags.get("batch") and not any("usd" in part for part in start.command)
        with pytest.raises(InputError, match="has no address before"):
            found.server(release.engine)


def test_a_release_of_a_kind_that_this_version_does_not_know_says_so() -> None:
    release = parse(stored("later", {}), Release)
    with pytest.raises(InputError, match=r"(?s)unknown kind of engine 'later'.*newer version"):
        engine_request(release, ASKED)


def test_a_server_that_is_not_named_is_refused_with_what_is_missing() -> None:
    release = parse(stored("openai", {"model": "small"}), Release)
    with pytest.raises(InputError, match=r"names no url: .*`url`"):
        kind_named("openai").server(release.engine)


def test_nothing_outside_engines_names_a_kind_or_reads_its_settings() -> None:
    """Not by its name, and not by a file of that package: only by the catalog."""
    names, files = {kind.name for kind in KINDS}, {type(kind).__module__ for kind in KINDS}
    found = [
        f"{path.relative_to(SOURCES)}:{node.lineno}"
        for path in SOURCES.rglob("*.py")
        if path.parent.name != "engines"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Constant) and node.value in names)
        or (isinstance(node, ast.ImportFrom) and node.module in files)
        or (isinstance(node, ast.Attribute) and ast.unparse(node).endswith("engine.flags"))
    ]
    assert found == []
