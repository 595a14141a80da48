"""What differs between two releases, field by field. I/O: reads the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import unified_diff
from typing import Any, Final

from flyball.errors import NotFoundError
from flyball.records import JSON, ModelVersion, Release
from flyball.records.canonical import to_plain
from flyball.storage.ledger import Ledger, Stored

PARTS: Final = {
    "chat_template": "prompt",
    "system_prompt": "prompt",
    "examples": "prompt",
    "preparation": "prompt",
    "input_redaction": "prompt",
    "guardrails": "prompt",
    "sampling": "sampling",
    "request_fields": "sampling",
    "constraint": "sampling",
    "engine": "engine",
    "model": "model",
    "adapter": "model",
    "artifact": "model",
}
"""What a field of a release is about; `project` and `task` are about the release itself."""
OF_A_MODEL: Final = ("dataset", "training_run", "architecture", "parameters", "context_length", "formats")
MISSING: Final = "(none)"


def release_diff(ledger: Ledger, first: str, second: str) -> dict[str, Any]:
    """Both names, and for each field that differs what it is about and both values; of models their facts too."""
    ours, theirs = release_named(ledger, first), release_named(ledger, second)
    fields = list(_differences(to_plain(ours.record), to_plain(theirs.record), ""))
    mine, other = (model_facts(ledger, stored) for stored in (ours, theirs))
    fields += _differences(mine, other, "model.")
    rows = [
        {"part": PARTS.get(name.split(".")[0].split("[")[0], "release"), "field": name, "first": a, "second": b}
        for name, a, b in fields
    ]
    order = ["release", *dict.fromkeys(PARTS.values())]
    rows.sort(key=lambda row: order.index(row["part"]))
    return {"first": ours.id, "second": theirs.id, "same": not rows, "fields": rows}


def release_named(ledger: Ledger, name: str) -> Stored:
    """The release of this name or first digits."""
    stored = ledger.get(name)
    if not isinstance(stored.record, Release):
        raise NotFoundError(f"{name} is not a release", cure="see `flyball models` for the releases")
    return stored


def model_facts(ledger: Ledger, release: Stored) -> Mapping[str, JSON]:
    """What is known of a release's model; empty where the ledger does not hold it."""
    assert isinstance(release.record, Release)
    try:
        model = ledger.get(release.record.model).record
    except NotFoundError:
        return {}
    plain: Any = to_plain(model) if isinstance(model, ModelVersion) else {}
    return {name: plain[name] for name in OF_A_MODEL if name in plain}


def _differences(first: Any, second: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """(path, value, value) of each leaf that differs."""
    for key in [*first, *(name for name in second if name not in first)]:
        a, b = first.get(key), second.get(key)
        if a == b:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from _differences(a, b, f"{prefix}{key}.")
        elif key == "examples":
            for number in range(max(len(a), len(b))):
                pair = [side[number] if number < len(side) else None for side in (a, b)]
                if pair[0] != pair[1]:
                    yield f"{prefix}{key}[{number}]", pair[0], pair[1]
        else:
            yield f"{prefix}{key}", a, b


def changed_lines(first: str, second: str) -> list[str]:
    """The lines that differ, as `diff -u` shows them, with a line around."""
    return list(unified_diff(first.splitlines(), second.splitlines(), lineterm="", n=1))[2:]
