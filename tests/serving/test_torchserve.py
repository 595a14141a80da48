"""TorchServe's adapter against a double of its published APIs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from classic_doubles import LABELS, TorchServeDouble, running
from flyball.engines.torchserve import KIND
from flyball.errors import UpstreamError
from flyball.inference.http_client import ServerAccess
from flyball.serving.classic_client import ClassicClient


@pytest.fixture
def double() -> Iterator[TorchServeDouble]:
    with running(TorchServeDouble()) as found:
        assert isinstance(found, TorchServeDouble)
        yield found


def client(url: str, way: ServerAccess | None = None, **more: Any) -> ClassicClient:
    settings = KIND.settings({"url": url, "model": "desk", "version": "1.0", **more})
    return ClassicClient(KIND, settings, way or ServerAccess())


@pytest.mark.parametrize(
    ("form", "more", "probability"),
    [
        ("scores", {}, 0.9),
        ("scores", {"input": "text"}, 0.9),
        ("pairs", {}, 0.9),
        ("best", {}, None),
        ("label", {"labels": LABELS}, 0.9),
        ("label", {}, None),
        ("list", {"labels": LABELS}, 0.9),
        ("text", {}, None),
    ],
)
def test_each_form_of_a_handlers_answer_gives_the_label(
    double: TorchServeDouble, form: str, more: dict[str, Any], probability: float | None
) -> None:
    double.form = form
    found = client(double.url, **more).label("a refund, please")
    assert found.name == "refund"
    assert dict(zip(found.labels, found.probabilities, strict=True)).get("refund") == probability


def test_an_answer_that_is_no_label_is_told(double: TorchServeDouble) -> None:
    double.form = "list"
    with pytest.raises(UpstreamError, match=r"gives 3 scores, release\.engine\.labels names 0"):
        client(double.url).label("a refund")


def test_the_model_is_registered_scaled_made_the_default_and_unregistered(double: TorchServeDouble) -> None:
    double.loaded, double.workers = False, 0
    found = client(double.url, archive="desk.mar", workers=2, make_default=True)
    assert "Model not found" in found.unready()
    found.bring_in()
    assert (double.workers, found.unready(), found.require_label().name) == (2, "", "other")
    assert double.calls[-1] == "POST /predictions/desk/1.0" and "PUT /models/desk/1.0/set-default" in double.calls
    double.workers = 0
    assert found.unready() == "model desk has no worker that is ready: it has none"
    found.bring_in()  # registered it is already: 409 is no failure
    assert double.workers == 2
    found.let_go()
    assert not double.loaded


def test_each_api_gets_its_own_key_of_the_key_file_as_it_is_now(double: TorchServeDouble, tmp_path: Path) -> None:
    file = tmp_path / "key_file.json"
    way = ServerAccess(api_key="file:key_file.json", secrets=lambda _: file.read_text())

    def write(suffix: str) -> None:
        keys = {name: {"key": f"{name}{suffix}"} for name in ("management", "inference", "API")}
        file.write_text(json.dumps(keys))

    write("1")
    found = client(double.url, way)
    assert not found.unready() and found.label("a refund").name == "refund"
    write("2")
    found.label("a refund")
    assert double.keys == ["Bearer management1", "Bearer inference1", "Bearer inference2"]
    file.write_text('{"something": "else"}')
    with pytest.raises(UpstreamError, match=r"no key_file\.json"):
        found.label("a refund")
