"""Replacing personal data by placeholders such as <EMAIL>; a text without findings comes back as it was."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache

from flyball.errors import InputError
from flyball.privacy.false_positives import REACH
from flyball.privacy.names import NAME_RECOGNISERS
from flyball.privacy.recognisers import PATTERN_RECOGNISERS, Outline, Recogniser
from flyball.records.canonical import fingerprint_of

PROFILES: dict[str, tuple[Recogniser, ...]] = {"none": (), "default": (*PATTERN_RECOGNISERS, *NAME_RECOGNISERS)}
TYPES = tuple(sorted({recogniser.type for recogniser in PROFILES["default"]}))
PROFILE_VERSION = 2
"""Raised whenever a profile begins to find something else: releases and dataset versions are told apart by it."""

MOST_PASSES = 32
"""Three are the most that any text of ours takes; the bound is for texts that somebody makes to take more."""
WINDOW = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """A text with placeholders, and how many findings of each type were replaced."""

    text: str
    counts: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a profile looks for, in the order in which it does, and which findings somebody said are harmless."""

    recognisers: tuple[Recogniser, ...]
    allowed: frozenset[str]


@lru_cache(maxsize=64)
def profile_of(name: str) -> Profile:
    """The profile of that name; InputError for an unknown one."""
    base, _, changes = name.partition(" ")
    try:
        recognisers, settings = PROFILES[base], json.loads(changes or "{}")
    except (KeyError, ValueError):
        raise InputError(
            f"unknown redaction profile {name!r}", cure=f"use one of: {', '.join(sorted(PROFILES))}"
        ) from None
    off = frozenset(settings.get("off", ()))
    if unknown := sorted(off - set(TYPES)):
        raise InputError(f"no type of personal data is called {unknown[0]}", cure=f"use some of: {', '.join(TYPES)}")
    kept = tuple(recogniser for recogniser in recognisers if recogniser.type not in off)
    return Profile(recognisers=kept, allowed=frozenset(settings.get("allow", ())))


def redact(text: str, profile: str) -> Redacted:
    """`text` without personal data, in time that grows with its length. Idempotent: passes run until nothing is found.

    Each pass that changes anything turns characters outside placeholders into a placeholder, and no pattern can match
    inside one, so the passes end; as a finding makes way for one right behind it within its own pass, they are few.
    """
    known = profile_of(profile)
    counts: dict[str, int] = {}
    for _ in range(MOST_PASSES):
        before = text
        for recogniser in _possible(known.recognisers, text):
            text = _replace(recogniser, text, counts, known.allowed)
        if text == before:
            break
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


def _replace(recogniser: Recogniser, text: str, counts: dict[str, int], allowed: frozenset[str]) -> str:
    """Every finding of one recogniser in `text` replaced; `counts` is added to."""
    pieces: list[str] = []
    position = findings = 0
    placeholder = f"<{recogniser.type}>"
    match = recogniser.pattern.search(text)
    while match is not None:
        end = match.end()
        if _holds(recogniser, match, text, allowed):
            start, end = match.span("found")
            pieces += (text[position:start], placeholder)
            findings, position = findings + 1, end
            while length := _adjoining(recogniser, text, position, allowed):
                pieces.append(placeholder)
                findings, position = findings + 1, position + length
            end = position
        match = recogniser.pattern.search(text, end)
    if not findings:
        return text
    counts[recogniser.type] = counts.get(recogniser.type, 0) + findings
    return "".join((*pieces, text[position:]))


def _holds(recogniser: Recogniser, match: re.Match[str], text: str, allowed: frozenset[str]) -> bool:
    """Whether a match is a finding: its check holds, nothing around it says otherwise, and nobody allowed it."""
    found = match["found"]
    if not recogniser.check(found) or (allowed and found.casefold() in allowed):
        return False
    if recogniser.harmless is None:
        return True
    start, end = match.span("found")
    return not recogniser.harmless(found, text[max(0, start - REACH) : start], text[end : end + REACH])


def _adjoining(recogniser: Recogniser, text: str, position: int, allowed: frozenset[str]) -> int:
    """The length of a finding that begins at `position`, which the finding before it hid; 0 when there is none.

    What stands before it is a placeholder by now. Without this, `#1111#2222…` would take as many passes as findings.
    """
    window = ">" + text[position : position + WINDOW]
    match = recogniser.pattern.match(window, 1)
    if match is None or match.start("found") != 1 or not _holds(recogniser, match, window, allowed):
        return 0
    return match.end("found") - 1 if match.end("found") < WINDOW else 0


def profile_fingerprint(profile: str) -> str:
    """The name of what a profile does; a new version of it is another name."""
    types = sorted({recogniser.type for recogniser in profile_of(profile).recognisers})
    return fingerprint_of({"profile": profile, "version": PROFILE_VERSION, "types": types})
