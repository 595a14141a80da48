"""TensorFlow Serving: its REST API's predict and classify, its versions and version labels. Pure.

https://www.tensorflow.org/tfx/serving/api_rest. Which models and versions it loads is its own configuration's matter:
over REST nothing can be loaded or let go of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from flyball.engines.classic import Call, ClassicConfig, ClassicKind, document, unexpected
from flyball.engines.label import Label, from_named_scores, from_scores

_PROTOCOL = "TensorFlow Serving's REST API"
_AVAILABLE = "AVAILABLE"


class TensorFlowServingConfig(
    ClassicConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="tensorflow-serving"
):
    """A classifier on TensorFlow Serving, asked over REST."""

    version_label: Annotated[
        str | None, Meta(description="Instead of a version, a label of the server's such as stable; it may move.")
    ] = None
    method: Annotated[Literal["predict", "classify"], Meta(description="Which method of its API labels a text.")] = (
        "predict"
    )
    signature: Annotated[str | None, Meta(description="The signature; null: serving_default.")] = None
    input: Annotated[str | None, Meta(description="The input that takes the text; null: the only one (predict).")] = (
        None
    )
    label: Annotated[str | None, Meta(description="Of several outputs, the one that is the label.")] = None
    scores: Annotated[str | None, Meta(description="Of several outputs, the one that are the scores.")] = None

    def __post_init__(self) -> None:
        if self.version and self.version_label:
            raise ValueError("version and version_label are both given: take one of them")
        if self.method == "classify" and not self.input:
            raise ValueError("method classify needs input: the feature that holds the text")


class TensorFlowServing(ClassicKind):
    """TensorFlow Serving."""

    name = "tensorflow-serving"
    config = TensorFlowServingConfig

    def ready(self, config: TensorFlowServingConfig) -> Call:
        """The status of the version, or of all of them."""
        return Call(method="GET", path=_model(config))

    def unready(self, config: TensorFlowServingConfig, body: bytes) -> str:
        """A version is there from its loading on; AVAILABLE alone can be asked."""
        found = document(body, _PROTOCOL).get("model_version_status")
        states = [str(one.get("state")) for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        if _AVAILABLE in states:
            return ""
        return f"model {config.model} is not available: {', '.join(states) or 'no version is there'}"

    def question(self, config: TensorFlowServingConfig, known: Mapping[str, Any], text: str) -> Call:
        """One instance, or one example."""
        instance: Any = {config.input: text} if config.input else text
        rows = "examples" if config.method == "classify" else "instances"
        body: dict[str, Any] = {rows: [instance]}
        if config.signature:
            body["signature_name"] = config.signature
        return Call(method="POST", path=f"{_model(config)}:{config.method}", body=msgspec.json.encode(body))

    def answer(self, config: TensorFlowServingConfig, body: bytes) -> Label:
        """The label of the one text."""
        found = document(body, _PROTOCOL)
        try:
            if config.method == "classify":
                (pairs,) = found["result"]
                scores = {str(name): float(score) for name, score in pairs}
                return _classified(config, scores)
            (prediction,) = found["predictions"]
        except (LookupError, TypeError, ValueError) as error:
            raise unexpected(body, _PROTOCOL) from error
        label, scores_of = _outputs(config, prediction)
        if scores_of is not None:
            return from_scores(scores_of, config.labels, logits=config.logits, name=label)
        if label is None:
            raise unexpected(body, f"{_PROTOCOL} with a label, or scores and release.engine.labels")
        return Label(label)


def _model(config: TensorFlowServingConfig) -> str:
    path = f"/v1/models/{quote(config.model, safe='')}"
    if config.version:
        return f"{path}/versions/{quote(config.version, safe='')}"
    return f"{path}/labels/{quote(config.version_label, safe='')}" if config.version_label else path


def _classified(config: TensorFlowServingConfig, scores: Mapping[str, float]) -> Label:
    """Classify gives labels with scores; a model without a vocabulary gives their numbers."""
    if config.labels and all(name.isdigit() and int(name) < len(config.labels) for name in scores):
        scores = {config.labels[int(name)]: score for name, score in scores.items()}
    return from_named_scores(scores, logits=config.logits)


def _outputs(config: TensorFlowServingConfig, prediction: Any) -> tuple[str | None, list[float] | None]:
    """The label and the scores of a prediction: named outputs, or the only one."""
    label = scores = None
    if isinstance(prediction, dict):
        label = _one(prediction.get(config.label)) if config.label else None
        scores = prediction.get(config.scores) if config.scores else None
        if label is None and scores is None and len(prediction) == 1:
            (prediction,) = prediction.values()
    if not isinstance(prediction, dict):
        label, scores = (None, prediction) if _are_scores(prediction) else (_one(prediction), None)
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(config.labels):
        label = config.labels[label]
    return (label if isinstance(label, str) else None), (scores if _are_scores(scores) else None)


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _are_scores(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(isinstance(one, int | float) for one in value)


KIND = TensorFlowServing()
