"""Who a request is about: the person whose key seals its texts, who stays with one arm, and who can be erased.

`gateway.subject_from` names the places to look at, in order; the first that says something counts. OpenAI's API has
`safety_identifier` in place of `user`, so that the one comes before the other by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flyball.gateway.http.exchange import Exchange
from flyball.gateway.http.openai_errors import HttpRefusal
from flyball.records.identifiers import canonical_text

MAX_ID: Final = 512
NAMING: Final = ("user", "safety_identifier", "prompt_cache_key")
"""Fields of the API that may name a person."""
_HEADER: Final = "header:"
_METADATA: Final = "metadata."


def person_of(exchange: Exchange, body: dict[str, Any], places: Sequence[str]) -> str | None:
    """The person's name as the caller gave it, in its one spelling; None where no place names anybody.

    A name that is no text is refused with 400: let through, its texts would belong to nobody and could not be erased.
    """
    for place in places:
        if (value := _at(exchange, body, place)) is None:
            continue
        if (name := canonical_text(text_of(value, place) or "")) is not None:
            return name
    return None


def _at(exchange: Exchange, body: dict[str, Any], place: str) -> Any:
    if place.startswith(_HEADER):
        return _header(exchange.headers.get(place[len(_HEADER) :].lower().encode(), b"").strip())
    if not place.startswith(_METADATA):
        return body.get(place)
    metadata = body.get("metadata")
    value = metadata.get(place[len(_METADATA) :]) if isinstance(metadata, dict) else None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _header(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def text_of(value: Any, name: str) -> str | None:
    """A short text or nothing; 400 for anything else, which names the field."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > MAX_ID:
        raise HttpRefusal(400, f"{name} must be a text of at most {MAX_ID} characters", code="invalid_type", param=name)
    return value
