"""A linear model as a release: its engine answers labels in every form that a client may ask for."""

from __future__ import annotations

import http.client
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from flyball.engines.catalog import LINEAR
from flyball.errors import UnsupportedField, UpstreamError
from flyball.inference.completions import HttpCompleter
from flyball.inference.label_scorer import LabelScorer
from flyball.inference.prompt_path import engine_request
from flyball.inference.request_fields import fields_of_release
from flyball.records import Constraint, Release
from flyball.registry.config import ReleaseConfig
from flyball.registry.linear_package import package_linear
from flyball.registry.release_composition import compose
from flyball.serving.engine_processes import engine_process
from flyball.serving.load import parse_load
from flyball.serving.placement import need_of
from flyball.telemetry import quiet
from flyball.training.config import LinearConfig
from flyball.training.linear_model import train_linear
from small_models import LABELS, ODD_STRINGS, rows, write_dataset


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Release]:
    """A packaged linear model, and a release of it."""
    folder = tmp_path_factory.mktemp("linear")
    write_dataset(folder / "dataset", rows(80, seed=1))
    (folder / "trained").mkdir()
    train_linear(
        LinearConfig(), dataset_dir=folder / "dataset", out=folder / "trained", threads=1, seed=1, progress=quiet
    )
    model = package_linear(folder / "trained", run=None, project="shop", profile=None, out=folder / "model")
    config = ReleaseConfig(engine=LINEAR.config())
    release = compose(config, project="shop", task="classification", model=model, labels=LABELS, redaction="none")
    return folder / "model", release


@pytest.fixture(scope="module")
def url(served: tuple[Path, Release]) -> Iterator[str]:
    with engine_process(served[1], served[0]) as found:
        yield found


def ask(url: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def chat(url: str, text: str, **fields: Any) -> tuple[int, Any]:
    body = json.dumps({"messages": [{"role": "user", "content": text}], **fields}).encode()
    status, raw = ask(url, "POST", "/v1/chat/completions", body)
    return status, json.loads(raw)


def test_every_answer_is_the_models_label_and_usage_counts_words(served: tuple[Path, Release], url: str) -> None:
    scorer, completer = LabelScorer(served[0]), HttpCompleter(url, release=served[1])
    for text in ("please refund my card", *ODD_STRINGS):
        answer = completer.complete({"messages": [{"role": "user", "content": text}]})
        assert answer.text in LABELS and answer.finish_reason == "stop" and answer.completion_tokens == 1
    assert completer.complete({"messages": [{"role": "user", "content": "my invoice 4"}]}).prompt_tokens == 3
    assert all(chat(url, text)[1]["choices"][0]["message"]["content"] == scorer.label(text) for text in ODD_STRINGS)


def test_log_probabilities_of_labels_come_where_they_are_asked_for(served: tuple[Path, Release], url: str) -> None:
    status, answer = chat(url, "my invoice", logprobs=True, top_logprobs=20)
    content = answer["choices"][0]["logprobs"]["content"]
    assert status == 200 and len(content) == 1
    top = content[0]["top_logprobs"]
    assert top[0]["token"] == content[0]["token"] == answer["choices"][0]["message"]["content"]
    assert sorted(one["token"] for one in top) == sorted(LABELS)
    expected = dict(zip(LABELS, LabelScorer(served[0])("my invoice"), strict=True))
    assert {one["token"]: math.exp(one["logprob"]) for one in top} == pytest.approx(expected, rel=1e-6)
    assert bytes(top[0]["bytes"]).decode() == top[0]["token"]
    assert chat(url, "my invoice")[1]["choices"][0]["logprobs"] is None


def test_a_release_may_let_log_probabilities_pass(served: tuple[Path, Release]) -> None:
    asked = {"messages": [{"role": "user", "content": "my invoice"}], "logprobs": True, "top_logprobs": 2}
    with pytest.raises(UnsupportedField, match="logprobs cannot be honoured"):
        engine_request(served[1], asked)
    free = Constraint(kind="none")  # the model gives its labels all the same
    fields = fields_of_release(("logprobs",), labels=False, tools=False, elsewhere=False)
    allowed = replace(served[1], constraint=free, request_fields=fields)
    passed = engine_request(allowed, asked)
    assert (passed["logprobs"], passed["top_logprobs"]) == (True, 2)


def test_the_openai_client_reads_whole_answers_and_streams(url: str) -> None:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
    messages: Any = [
        {"role": "user", "content": "my card was stolen"},
        {"role": "assistant", "content": "card lost"},
        {"role": "user", "content": [{"type": "text", "text": "an invoice was charged"}]},
    ]
    whole = client.chat.completions.create(model="linear", messages=messages)
    assert whole.choices[0].message.content == "billing"
    chunks = list(
        client.chat.completions.create(
            model="linear", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "billing"
    assert chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 5
    assert [model.id for model in client.models.list()] == ["linear"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "messages"),
        (b'{"messages": [{"role": "assistant", "content": "hi"}]}', "no message has the role user"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "logprobs": true, "top_logprobs": 21}', "21"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "logprobs": true, "top_logprobs": "x"}', "top_logprobs"),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(url: str, body: bytes, word: str) -> None:
    status, raw = ask(url, "POST", "/v1/chat/completions", body)
    assert status == 400 and word in json.loads(raw)["error"]["message"]


def test_it_tells_its_health_and_load(url: str) -> None:
    assert ask(url, "GET", "/health")[0] == 200 and ask(url, "GET", "/nowhere")[0] == 404
    before = ask(url, "GET", "/metrics")[1].decode()
    assert chat(url, "a" * 2_000_000)[0] == 200
    after = ask(url, "GET", "/metrics")[1].decode()
    counted = [
        next(int(line.split()[1]) for line in page.splitlines() if line.startswith('onnx:requests_total{result="a'))
        for page in (before, after)
    ]
    assert counted[1] == counted[0] + 1 and parse_load(after).running == 0


def test_its_memory_is_told_before_it_starts(served: tuple[Path, Release]) -> None:
    assert 100e6 < need_of(served[1], served[0]).own < 400e6


def test_a_damaged_model_ends_the_engine_with_its_reason(served: tuple[Path, Release], tmp_path: Path) -> None:
    (tmp_path / "vectorizer.json").write_bytes((served[0] / "vectorizer.json").read_bytes())
    (tmp_path / "linear.onnx").write_bytes(b"damaged")
    with pytest.raises(UpstreamError, match=r"linear\.onnx cannot be loaded"), engine_process(served[1], tmp_path):
        pass
