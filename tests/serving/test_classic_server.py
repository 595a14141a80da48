"""A classifier on a classic model server as a release: asked through our process, in the server's own protocol.

The servers are doubles (support/classic_doubles.py); real ones are in workflows/test_classic_journey.py.
"""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from classic_doubles import LABELS, OpenInferenceDouble, running
from flyball.addresses import Reach
from flyball.engines.catalog import kind_named
from flyball.errors import InputError, UpstreamError
from flyball.inference.completions import HttpCompleter
from flyball.inference.http_client import ServerAccess
from flyball.inference.model_list import ServedModel
from flyball.records import Release
from flyball.references import secret
from flyball.registry.config import ReleaseConfig
from flyball.registry.release_composition import compose
from flyball.registry.remote_model import model_elsewhere
from flyball.serving import classic_client
from flyball.serving.classic_client import ClassicClient
from flyball.serving.config import ServingConfig
from flyball.serving.engine_processes import engine_process, start_engine, stop_engine, wait_ready
from flyball.serving.liveness import look_at

DESK = {"kind": "open-inference", "model": "desk", "version": "1"}


def settings(url: str, **more: Any) -> Any:
    document = {**DESK, "url": url, **more}
    return kind_named(document.pop("kind")).settings(document)  # type: ignore[attr-defined]


def client(url: str, *, home: Path = Path(), api_key: str | None = None, **more: Any) -> ClassicClient:
    found = settings(url, **more)
    way = ServerAccess(api_key=api_key, secrets=lambda reference: secret(reference, home, {}))
    return ClassicClient(kind_named(found.kind), found, way)  # type: ignore[arg-type]


def release(url: str, **more: Any) -> Release:
    model = model_elsewhere(ServedModel(name="desk:1", context=0), project="shop")
    config = ReleaseConfig(engine=settings(url, **more), constraint="none", request_fields=("logprobs", "top_logprobs"))
    return compose(config, project="shop", task="classification", model=model, labels=LABELS, redaction="none")


@pytest.fixture
def double() -> Iterator[OpenInferenceDouble]:
    with running(OpenInferenceDouble()) as found:
        assert isinstance(found, OpenInferenceDouble)
        yield found


def asked(text: str, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], **fields}


def test_a_release_of_it_answers_labels_with_log_probabilities_as_any_engine_does(
    double: OpenInferenceDouble, tmp_path: Path
) -> None:
    made = release(double.url, labels=LABELS)
    assert made.engine.flags == {"url": double.url, "model": "desk", "version": "1", "labels": list(LABELS)}
    with engine_process(made, tmp_path, timeout_s=20) as url:
        completer = HttpCompleter(url, release=made, probabilities=True)
        answer = completer.complete(asked("I want a refund"))
        assert (answer.text, answer.prompt_tokens) == ("refund", 4)
        assert answer.log_probability == pytest.approx(math.log(0.9), abs=1e-6)
        assert completer.complete(asked("the invoice"), besides={"stream": False}).text == "billing"
        body = json.dumps(asked("hello", logprobs=True, top_logprobs=2, stream=True)).encode()
        events = urllib.request.urlopen(f"{url}/v1/chat/completions", body, timeout=10).read().decode()
        assert '"content":"other"' in events and events.endswith("data: [DONE]\n\n")
        listed = json.load(urllib.request.urlopen(f"{url}/v1/models", timeout=10))
        assert [one["id"] for one in listed["data"]] == ["desk"]
        double.broken = True
        with pytest.raises(UpstreamError, match=r"answered 502: .*Stub process is not healthy"):
            completer.complete(asked("I want a refund"))
    assert "POST /v2/models/desk/versions/1/infer" in double.calls


@pytest.mark.parametrize(
    ("more", "probability"),
    [
        ({"label": "label"}, None),
        ({"scores": "scores", "labels": LABELS}, 0.9),
        ({"scores": "logits", "labels": LABELS, "logits": True}, 0.9),
        ({"label": "label", "scores": "logits", "labels": LABELS, "logits": True}, 0.9),
    ],
)
def test_names_scores_and_logits_give_the_label(
    double: OpenInferenceDouble, more: dict[str, Any], probability: float | None
) -> None:
    found = client(double.url, **more).label("a refund, please")
    assert found.name == "refund"
    known = dict(zip(found.labels, found.probabilities, strict=True))
    assert known.get("refund") == (None if probability is None else pytest.approx(probability))


def test_labels_by_number_are_named_in_the_order_of_the_settings(double: OpenInferenceDouble) -> None:
    double.datatype = "INT64"
    assert client(double.url, labels=LABELS).label("my invoice").name == "billing"
    with pytest.raises(UpstreamError, match="a model with 2 labels"):
        client(double.url, label="label", labels=LABELS[:2]).label("a refund")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"input": "words"}, r"no input words; its inputs: text \(BYTES\), k \(INT32\)"),
        ({"label": "topic", "scores": "scores", "labels": LABELS[:2]}, "answered 500|does not answer"),
        ({"labels": LABELS[:2]}, "gives 3 scores, release.engine.labels names 2"),
        ({"scores": "logits", "labels": LABELS}, "no probabilities: they sum to"),
        ({"version": "3"}, "answered 404"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_told_by_the_first_text(
    double: OpenInferenceDouble, more: dict[str, Any], problem: str
) -> None:
    with pytest.raises(UpstreamError, match=problem):
        client(double.url, **more).require_label()


def test_the_model_is_loaded_where_that_is_asked_for_and_let_go_of(double: OpenInferenceDouble) -> None:
    double.loaded = False
    left = client(double.url)
    left.bring_in()
    assert "Model version not ready" in left.unready() and not double.loaded
    loading = client(double.url, load=True)
    loading.bring_in()
    assert double.loaded and not loading.unready()
    loading.bring_in()
    assert double.calls.count("POST /v2/repository/models/desk/load") == 1
    loading.let_go()
    assert not double.loaded


def test_a_call_of_management_that_never_answers_is_given_up(
    double: OpenInferenceDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    double.hang_s = 2.0
    monkeypatch.setattr(classic_client, "MANAGE_S", 0.2)
    with pytest.raises(UpstreamError, match=r"did not answer POST /v2/repository/models/desk/unload within 0\.2 s"):
        client(double.url).let_go()


def test_a_key_is_sent_and_read_anew_when_its_file_changes(double: OpenInferenceDouble, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first\n")
    file.chmod(0o600)
    found = client(double.url, home=tmp_path, api_key="file:key")
    found.label("a refund")
    file.write_text("second")
    found.label("a refund")
    assert double.keys[0] == "Bearer first" and double.keys[-1] == "Bearer second"
    file.unlink()
    with pytest.raises(UpstreamError, match=r"the key of .* cannot be had: no secret file"):
        found.label("a refund")


def test_a_text_that_the_server_refuses_is_the_clients_error(double: OpenInferenceDouble) -> None:
    found = client(double.url)
    found.label("a refund")
    found._known = {"input": "text", "shape": [1]}
    with pytest.raises(InputError, match=r"refuses the text \(400\): .*expected \[1,1\]"):
        found.label("a refund")


def ask_once(url: str) -> int:
    try:
        with urllib.request.urlopen(f"{url}/v1/chat/completions", json.dumps(asked("a refund")).encode()) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_engine_is_gone_when_its_server_is_and_only_then(tmp_path: Path) -> None:
    with running(OpenInferenceDouble()) as server:
        made = release(server.url)
        handle = start_engine(
            made,
            release_name="a" * 64,
            artifact=tmp_path,
            run_dir=tmp_path / "run",
            log_dir=tmp_path / "log",
            config=ServingConfig(),
            owned=True,
            behind=ServerAccess(api_key=None),
        )
        try:
            handle = wait_ready(handle, made, timeout_s=20)
            assert look_at(handle).running == 0
            assert isinstance(server, OpenInferenceDouble)
            server.loaded = False
            look_at(handle), look_at(handle)  # one look that fails is no sign
            with pytest.raises(UpstreamError, match="answered 503"):
                look_at(handle)
            server.loaded = True
            look_at(handle)
            server.broken = True  # though it goes on saying that the model is ready
            look_at(handle)
            assert ask_once(handle.url) == 502
            look_at(handle), look_at(handle)
            with pytest.raises(UpstreamError, match="answered 503"):
                look_at(handle)
            server.broken = False
            look_at(handle)
            assert ask_once(handle.url) == 200
        finally:
            assert stop_engine(handle, grace_s=2)


def test_a_certificate_that_cannot_be_read_is_no_fault_of_who_asks() -> None:
    found = settings("https://127.0.0.1:1")
    way = ServerAccess(reach=Reach(ca_file="nowhere.pem"))
    with pytest.raises(UpstreamError, match=r"cannot be asked: nowhere\.pem: no certificates"):
        ClassicClient(kind_named(found.kind), found, way).label("a refund")  # type: ignore[arg-type]
