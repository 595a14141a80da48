"""Replacing personal data by placeholders such as <EMAIL>; a text without findings comes back as it was."""

from __future__ import annotations

from dataclasses import dataclass

from flyball.errors import InputError
from flyball.privacy.names import NAME_RECOGNISERS
from flyball.privacy.recognisers import PATTERN_RECOGNISERS, Outline, Recogniser
from flyball.records.canonical import fingerprint_of

PROFILES: dict[str, tuple[Recogniser, ...]] = {"none": (), "default": (*PATTERN_RECOGNISERS, *NAME_RECOGNISERS)}
PROFILE_VERSION = 1
"""Raised whenever a profile begins to find something else: releases and dataset versions are told apart by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """A text with placeholders, and how many findings of each type were replaced."""

    text: str
    counts: dict[str, int]


def recognisers_of(profile: str) -> tuple[Recogniser, ...]:
    """The recognisers of a profile, in the order in which they run."""
    try:
        return PROFILES[profile]
    except KeyError:
        raise InputError(
            f"unknown redaction profile {profile!r}", cure=f"use one of: {', '.join(sorted(PROFILES))}"
        ) from None


def redact(text: str, profile: str) -> Redacted:
    """`text` without personal data. Idempotent: passes run until nothing is found any more.

    Each pass that changes anything turns characters outside placeholders into a placeholder, and no pattern can match
    inside one, so the passes end.
    """
    recognisers = recognisers_of(profile)
    counts: dict[str, int] = {}
    while True:
        before = text
        for recogniser in _possible(recognisers, text):
            text = _replace(recogniser, text, counts)
        if text == before:
            return Redacted(text=text, counts=counts)


def _possible(recognisers: tuple[Recogniser, ...], text: str) -> list[Recogniser]:
    """The recognisers that may find something in `text`: of most texts none, which is what makes redaction cheap.

    No finding of one makes another possible: what takes its place is a placeholder, which no pattern reaches across.
    """
    lowered, outline = text.casefold(), Outline(text)
    possible = []
    for recogniser in recognisers:
        if recogniser.possible is not None:
            if recogniser.possible(outline):
                possible.append(recogniser)
            continue
        for hint in recogniser.hints:
            if hint in lowered:
                possible.append(recogniser)
                break
    return possible


def _replace(recogniser: Recogniser, text: str, counts: dict[str, int]) -> str:
    """Every finding of one recogniser in `text` replaced; `counts` is added to."""
    pieces: list[str] = []
    position = 0
    for match in recogniser.pattern.finditer(text):
        if not recogniser.check(match["found"]):
            continue
        start, end = match.span("found")
        pieces += (text[position:start], f"<{recogniser.type}>")
        position = end
        counts[recogniser.type] = counts.get(recogniser.type, 0) + 1
    return "".join((*pieces, text[position:])) if pieces else text


def profile_fingerprint(profile: str) -> str:
    """The name of what a profile does; a new version of it is another name."""
    types = sorted({recogniser.type for recogniser in recognisers_of(profile)})
    return fingerprint_of({"profile": profile, "version": PROFILE_VERSION, "types": types})
