"""The Open Inference Protocol, version 2: Triton, KServe's ModelServer, MLServer, OpenVINO Model Server. Pure.

https://github.com/kserve/open-inference-protocol, and Triton's model repository extension. A text goes in as a tensor
of BYTES; a label comes out as BYTES or as the number of a label, scores as floats, or both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from msgspec import Meta

from flyball.engines.classic import Call, ClassicConfig, ClassicKind, document, unexpected
from flyball.engines.label import Label, from_scores
from flyball.errors import UpstreamError

_PROTOCOL = "the Open Inference Protocol"
_ID = "flyball"
"""KServe's ModelServer answers 500 where a request has none."""
_FLOATS = ("FP16", "FP32", "FP64", "BF16")
_NUMBERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")


class OpenInferenceConfig(
    ClassicConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="open-inference"
):
    """A classifier on a server that speaks the Open Inference Protocol."""

    input: Annotated[str | None, Meta(description="The tensor that takes the text; null: the one of BYTES.")] = None
    label: Annotated[
        str | None, Meta(description="The output that is the label; null: the first one of BYTES, else of integers.")
    ] = None
    scores: Annotated[
        str | None, Meta(description="The output that are the labels' scores; null: the first one of floats.")
    ] = None
    load: Annotated[bool, Meta(description="Have the server load the model where it is not loaded.")] = False


class OpenInference(ClassicKind):
    """One adapter for every server of that protocol."""

    name = "open-inference"
    config = OpenInferenceConfig
    unloads_all_versions = True

    def ready(self, config: OpenInferenceConfig) -> Call:
        """The model's own readiness."""
        return Call(method="GET", path=f"{_model(config)}/ready")

    def unready(self, config: OpenInferenceConfig, body: bytes) -> str:
        """200 is enough; some servers say it in the body too."""
        try:
            found = msgspec.json.decode(body)
        except msgspec.DecodeError:
            return ""  # the protocol asks for no body
        said = found.get("ready") if isinstance(found, dict) else None
        return f"the server says that {config.model} is not ready" if said is False else ""

    def description(self, config: OpenInferenceConfig) -> Call:
        """The model's metadata."""
        return Call(method="GET", path=_model(config))

    def described(self, config: OpenInferenceConfig, body: bytes) -> Mapping[str, Any]:
        """The name and the shape of the input."""
        inputs = [one for one in document(body, _PROTOCOL).get("inputs") or () if isinstance(one, dict)]
        texts = [one for one in inputs if one.get("name") == config.input or config.input is None]
        texts = [one for one in texts if config.input or one.get("datatype") == "BYTES"]
        if len(texts) == 1:
            return {"input": str(texts[0].get("name")), "shape": [1] * max(1, len(texts[0].get("shape") or ()))}
        if config.input and not inputs:
            return {"input": config.input, "shape": [1]}  # it says nothing of its inputs
        names = ", ".join(f"{one.get('name')} ({one.get('datatype')})" for one in inputs) or "none"
        wanted = f"no input {config.input}" if config.input else "not one input of BYTES"
        raise UpstreamError(
            f"model {config.model} has {wanted}; its inputs: {names}",
            cure="set release.engine.input to the one that takes the text",
        )

    def question(self, config: OpenInferenceConfig, known: Mapping[str, Any], text: str) -> Call:
        """One text, and the outputs by name where the settings name them."""
        tensor: dict[str, Any] = {"name": known["input"], "shape": known["shape"], "datatype": "BYTES", "data": [text]}
        tensor["parameters"] = {"content_type": "str"}  # which MLServer asks for
        body: dict[str, Any] = {"id": _ID, "inputs": [tensor]}
        if wanted := [{"name": name} for name in (config.label, config.scores) if name]:
            body["outputs"] = wanted
        return Call(method="POST", path=f"{_model(config)}/infer", body=msgspec.json.encode(body))

    def answer(self, config: OpenInferenceConfig, body: bytes) -> Label:
        """The label of the one text."""
        found = document(body, _PROTOCOL).get("outputs")
        outputs = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
        named = _chosen(outputs, config.label, ("BYTES",)) or _chosen(outputs, config.label, _NUMBERS)
        scored = _chosen(outputs, config.scores, _FLOATS) if config.labels or config.scores else None
        if named is None and scored is None:
            names = ", ".join(f"{one.get('name')} ({one.get('datatype')})" for one in outputs) or "none"
            raise UpstreamError(
                f"model {config.model} gives no label: its outputs are {names}",
                cure="set release.engine.label or scores to one of them, and labels where it gives scores alone",
            )
        name = None if named is None else _name(config, _values(named), named, body)
        if scored is None:
            return Label(str(name))
        scores = [value for value in _values(scored) if isinstance(value, int | float)]
        return from_scores(scores, config.labels, logits=config.logits, name=name)

    def loading(self, config: OpenInferenceConfig) -> Sequence[Call]:
        """The repository's load, where the settings ask for it."""
        return (_repository(config, "load"),) if config.load else ()

    def unloading(self, config: OpenInferenceConfig) -> Sequence[Call]:
        """The repository's unload, which takes away all versions of the model."""
        return (_repository(config, "unload"),)


def _model(config: OpenInferenceConfig) -> str:
    path = f"/v2/models/{quote(config.model, safe='')}"
    return f"{path}/versions/{quote(config.version, safe='')}" if config.version else path


def _repository(config: OpenInferenceConfig, verb: str) -> Call:
    path = f"/v2/repository/models/{quote(config.model, safe='')}/{verb}"
    return Call(method="POST", path=path, body=b"{}", management=True)


def _chosen(outputs: Sequence[Mapping[str, Any]], name: str | None, types: Sequence[str]) -> Mapping[str, Any] | None:
    """The output of this name, else the first one; of these types alone."""
    fitting = (one for one in outputs if one.get("datatype") in types and (name is None or one.get("name") == name))
    return next(fitting, None)


def _values(output: Mapping[str, Any]) -> list[Any]:
    return list(_flat(output.get("data")))


def _flat(data: Any) -> Iterator[Any]:
    """Data is one list in row-major order, or nested as its shape says."""
    if isinstance(data, list):
        for one in data:
            yield from _flat(one)
    elif data is not None:
        yield data


def _name(config: OpenInferenceConfig, values: Sequence[Any], output: Mapping[str, Any], body: bytes) -> str:
    if len(values) != 1:
        raise UpstreamError(
            f"output {output.get('name')} of model {config.model} has {len(values)} values, not one label",
            cure="set release.engine.label to the output that is the label",
        )
    value = values[0]
    if isinstance(value, str):
        return value
    if not isinstance(value, int) or not 0 <= value < len(config.labels):
        raise unexpected(body, f"a model with {len(config.labels)} labels in release.engine.labels")
    return config.labels[value]


KIND = OpenInference()
