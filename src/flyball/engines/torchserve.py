"""TorchServe: its inference API, and its management API to register, scale, set the default and unregister. Pure.

https://docs.pytorch.org/serve/management_api.html, inference_api.html and token_authorization_api.html. What a model
answers is its handler's choice: the label and its score, the scores by label, or a list that begins with one of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Meta

from flyball.engines.classic import Call, ClassicConfig, ClassicKind, unexpected
from flyball.engines.label import Label, from_named_scores, from_scores
from flyball.errors import UpstreamError

_PROTOCOL = "a classifier on TorchServe"


class TorchServeConfig(
    ClassicConfig, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="torchserve"
):
    """A classifier on TorchServe. Its `api_key` is a token, or `file:` of the server's key_file.json."""

    management_url: Annotated[
        str | None, Meta(description="Where the management API answers, such as http://127.0.0.1:8081; null: at url.")
    ] = None
    input: Annotated[
        str | None, Meta(description="The key of the text in a JSON object; null: the text itself is the body.")
    ] = None
    archive: Annotated[
        str | None, Meta(description="The .mar file that is registered where the model is not there; null: never.")
    ] = None
    workers: Annotated[int, Meta(ge=1, description="Workers that the model gets where it has none.")] = 1
    make_default: Annotated[bool, Meta(description="Make this version the server's default once it is loaded.")] = False


class TorchServe(ClassicKind):
    """TorchServe."""

    name = "torchserve"
    config = TorchServeConfig

    def ready(self, config: TorchServeConfig) -> Call:
        """The version's description, which lists its workers."""
        return Call(method="GET", path=_managed(config), management=True)

    def unready(self, config: TorchServeConfig, body: bytes) -> str:
        """A registered model without a worker answers nothing."""
        try:
            (found,) = msgspec.json.decode(body)
            states = [str(worker["status"]) for worker in found["workers"]]
        except (msgspec.DecodeError, ValueError, LookupError, TypeError) as error:
            raise unexpected(body, "TorchServe's management API") from error
        if "READY" in states:
            return ""
        return f"model {config.model} has no worker that is ready: {', '.join(states) or 'it has none'}"

    def question(self, config: TorchServeConfig, known: Mapping[str, Any], text: str) -> Call:
        """The text as it is, or as a field of a JSON object."""
        path = f"/predictions/{_versioned(config)}"
        if config.input is None:
            return Call(method="POST", path=path, body=text.encode(), content_type="text/plain; charset=utf-8")
        return Call(method="POST", path=path, body=msgspec.json.encode({config.input: text}))

    def answer(self, config: TorchServeConfig, body: bytes) -> Label:
        """The label of the handler's answer."""
        try:
            found = msgspec.json.decode(body)
        except msgspec.DecodeError:
            found = body.decode("utf-8", "replace").strip()  # a handler may answer the bare label
        if isinstance(found, list) and len(found) == 1 and not isinstance(found[0], int | float):
            found = found[0]
        label = _label(config, found)
        if label is None:
            raise unexpected(body, _PROTOCOL)
        return label

    def loading(self, config: TorchServeConfig) -> Sequence[Call]:
        """Register the archive; give the version its workers; make it the default where that is asked for."""
        if config.archive is None:
            return ()
        query = {"url": config.archive, "model_name": config.model, "initial_workers": 0, "synchronous": "true"}
        workers = {"min_worker": config.workers, "synchronous": "true"}
        calls = [
            Call(method="POST", path=f"/models?{urlencode(query)}", management=True, there=(409,)),
            Call(method="PUT", path=f"{_managed(config)}?{urlencode(workers)}", management=True),
        ]
        if config.make_default:
            calls.append(_default(config))
        return calls

    def unloading(self, config: TorchServeConfig) -> Sequence[Call]:
        """Unregister this version; the server refuses that for the default one while there are others."""
        return (Call(method="DELETE", path=_managed(config), management=True),)

    def management_url(self, config: TorchServeConfig) -> str:
        """It has a port of its own, as a rule."""
        return config.management_url or config.url

    def key(self, secret: str, *, management: bool) -> str:
        """Of a key file the key for this API, which the server changes about every hour; else the secret itself."""
        if not secret.startswith("{"):
            return secret
        try:
            keys = msgspec.json.decode(secret)
            return str(keys["management" if management else "inference"]["key"])
        except (msgspec.DecodeError, LookupError, TypeError) as error:
            raise UpstreamError(
                "api_key names a file that is no key_file.json of TorchServe", cure="give its path, or a token"
            ) from error


def _versioned(config: TorchServeConfig) -> str:
    model = quote(config.model, safe="")
    return f"{model}/{quote(config.version, safe='')}" if config.version else model


def _managed(config: TorchServeConfig) -> str:
    return f"/models/{_versioned(config)}"


def _default(config: TorchServeConfig) -> Call:
    return Call(method="PUT", path=f"{_managed(config)}/set-default", management=True)


def _label(config: TorchServeConfig, found: Any) -> Label | None:
    """In an answer that was decoded; None where there is none."""
    if isinstance(found, str) and found:
        return Label(found)
    if isinstance(found, list) and found and all(_is_number(one) for one in found):
        return from_scores(found, config.labels, logits=config.logits)
    if isinstance(found, list) and found and all(isinstance(one, dict) and "label" in one for one in found):
        named = {str(one["label"]): one.get("score") for one in found}  # as pipelines of transformers answer
        return _label(config, named) or Label(str(found[0]["label"]))
    if not isinstance(found, dict) or not found:
        return None
    if isinstance(label := found.get("label"), str):
        scores = found.get("scores")
        if isinstance(scores, list) and config.labels:
            return from_scores(scores, config.labels, logits=config.logits, name=label)
        return Label(label)
    if all(_is_number(score) for score in found.values()):
        return from_named_scores(found, logits=config.logits)
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


KIND = TorchServe()
