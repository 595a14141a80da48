"""What an engine gets for a request to a release: the prompt path applied, for chats and for embeddings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from flyball.gateway.subjects import NAMING
from flyball.inference.prompt_path import PromptPath, redactor
from flyball.inference.request_fields import header_value


def prompted(path: PromptPath, kind: str, body: Mapping[str, Any], *, count: bool) -> tuple[bytes, bytes]:
    """The engine's body, in streams with the tokens asked for (`count`), and the fields that count for nothing.

    InputError for a request that the path refuses.
    """
    ignored: tuple[str, ...] = ()
    if kind == "chat":
        request, ignored = path.engine_request(body)
    else:
        request = {**body, "input": _redacted(body.get("input"), redactor(path.release.input_redaction))}
    for name in NAMING:
        request.pop(name, None)  # no engine of ours needs to know
    if count:
        options = request.get("stream_options")
        request["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return msgspec.json.encode(request), header_value(ignored).encode() if ignored else b""


def _redacted(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, list):
        return [redact(item) if isinstance(item, str) else item for item in value]
    return redact(value) if isinstance(value, str) else value


LONG_BYTES: Final = 8_192
"""A body beyond this may take a release's prompt path longer than the 5 ms that one client may delay another."""


def takes_long(path: PromptPath | None, raw: bytes) -> bool:
    """Whether preparing a request may keep others waiting for more than 5 ms."""
    if path is None or len(raw) <= LONG_BYTES:
        return False
    return path.release.input_redaction != "none" or path.release.preparation is not None
