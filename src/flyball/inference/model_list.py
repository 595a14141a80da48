"""What an OpenAI-compatible server says that it serves. I/O: one HTTP request to the URL given."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from flyball.addresses import normal, shown
from flyball.errors import InputError, UpstreamError
from flyball.inference.http_client import ServerAccess, client_of

TIMEOUT_S = 10.0
_SHOWN = 20
_LENGTHS = ("max_model_len", "context_length", "context_window", "max_context_length")
"""Where vLLM, SGLang and hosted services say how many tokens a model reads; llama.cpp has it under `meta`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    """A model of a server: the name to ask for, and how many tokens it reads (0: the server does not say)."""

    name: str
    context: int


def is_url(text: str) -> bool:
    """Whether a word on the command line is an address, not a path or a name."""
    return text.startswith(("http://", "https://"))


def served_model(url: str, *, name: str | None, way: ServerAccess) -> ServedModel:
    """The model of this name, or the only one; InputError with the names where that is not one.

    A server without a list of models (404, 405) is believed, when a name is given. UpstreamError when none answers.
    """
    models = _listed(url, way)
    if models is None:
        if name is None:
            raise InputError(f"{shown(url)} does not list its models", cure="say which one is meant: --model-name NAME")
        return ServedModel(name=name, context=0)
    names = ", ".join(list(models)[:_SHOWN]) or "none"
    if name is None:
        if len(models) != 1:
            raise InputError(f"{shown(url)} serves {len(models)} models: {names}", cure="choose one: --model-name NAME")
        name = next(iter(models))
    if name not in models:
        raise InputError(f"{shown(url)} serves no model {name}, but {names}", cure="use one of its names")
    return ServedModel(name=name, context=_context(models[name]))


def model_names(url: str, way: ServerAccess) -> tuple[str, ...]:
    """The names that a server says it serves; empty where it does not say. UpstreamError when it does not answer."""
    return tuple(_listed(url, way) or ())


def _listed(url: str, way: ServerAccess) -> dict[str, Mapping[str, Any]] | None:
    """The entries of /v1/models by name; None where the server has no such list."""
    status, raw = _fetch(url, way)
    if status in (404, 405, 501):
        return None
    if status != 200:
        cure = "give a key: --api-key env:NAME" if status in (401, 403) else "look at the server's log"
        raise UpstreamError(f"{shown(url)} answered {status} to the question for its models", cure=cure)
    try:
        return {str(entry["id"]): entry for entry in msgspec.json.decode(raw)["data"]}
    except (msgspec.MsgspecError, LookupError, TypeError) as error:
        raise UpstreamError(
            f"{shown(url)} gives no list of models", cure="give the base URL of an OpenAI API"
        ) from error


def _fetch(url: str, way: ServerAccess) -> tuple[int, bytes]:
    address, exact = normal(url)
    client = client_of(address, way, exact=exact, timeout_s=TIMEOUT_S)
    try:
        return client.get("/models")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise UpstreamError(
            f"{shown(url)} does not answer: {error}", cure="start that server, or fix the URL"
        ) from error
    finally:
        client.close()


def _context(entry: Mapping[str, Any]) -> int:
    meta = entry.get("meta")
    found = [entry.get(key) for key in _LENGTHS] + [meta.get("n_ctx_train") if isinstance(meta, Mapping) else None]
    return next((length for length in found if isinstance(length, int) and length > 0), 0)
