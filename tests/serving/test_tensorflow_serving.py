"""TensorFlow Serving's adapter against a double of its published REST API: no registry has the server itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from classic_doubles import LABELS, TensorFlowServingDouble, running
from flyball.engines.tensorflow_serving import KIND
from flyball.errors import InputError, UpstreamError
from flyball.inference.http_client import ServerAccess
from flyball.serving.classic_client import ClassicClient


@pytest.fixture
def double() -> Iterator[TensorFlowServingDouble]:
    with running(TensorFlowServingDouble()) as found:
        assert isinstance(found, TensorFlowServingDouble)
        yield found


def client(url: str, **more: Any) -> ClassicClient:
    return ClassicClient(KIND, KIND.settings({"url": url, "model": "desk", **more}), ServerAccess())


@pytest.mark.parametrize(
    ("form", "more", "probability"),
    [
        ("scores", {"labels": LABELS}, 0.9),
        ("scores", {"labels": LABELS, "input": "text", "version": "1"}, 0.9),
        ("scores", {"labels": LABELS, "version_label": "stable", "signature": "label_texts"}, 0.9),
        ("label", {}, None),
        ("both", {"label": "class"}, None),
        ("both", {"label": "class", "scores": "probabilities", "labels": LABELS}, 0.9),
        ("both", {"scores": "probabilities", "labels": LABELS}, 0.9),
        ("scores", {"method": "classify", "input": "text", "labels": LABELS}, 0.9),
    ],
)
def test_predict_and_classify_give_the_label(
    double: TensorFlowServingDouble, form: str, more: dict[str, Any], probability: float | None
) -> None:
    double.form = form
    found = client(double.url, **more).label("a refund, please")
    assert found.name == "refund"
    assert dict(zip(found.labels, found.probabilities, strict=True)).get("refund") == probability


def test_a_version_that_still_loads_is_not_ready(double: TensorFlowServingDouble) -> None:
    found = client(double.url, version="1")
    assert found.unready() == ""
    double.loaded = False
    assert found.unready() == "model desk is not available: LOADING"
    assert "answered 404" in client(double.url, version="7").unready()
    with pytest.raises(UpstreamError, match="cannot be told to let go of a model"):
        found.let_go()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"version": "1", "version_label": "stable"}, "version and version_label are both given"),
        ({"method": "classify"}, "method classify needs input"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(more: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        client("http://127.0.0.1:1", **more)


def test_an_answer_without_a_label_is_told(double: TensorFlowServingDouble) -> None:
    double.form = "both"
    with pytest.raises(UpstreamError, match=r"with a label, or scores and release\.engine\.labels"):
        client(double.url).label("a refund")
