"""What a redaction profile is called; light, because settings read it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.records.canonical import canonical_json


def profile_name(profile: str, *, off: Sequence[str] = (), allow: Sequence[str] = ()) -> str:
    """The one name of a profile with types switched off and texts allowed: what a release says of its redaction."""
    if profile == "none" or not (off or allow):
        return profile
    changes = {"allow": sorted({text.casefold() for text in allow}), "off": sorted(set(off))}
    return f"{profile} {canonical_json(changes).decode()}"
