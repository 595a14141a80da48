"""Names that people give to model versions, and what is known of one version. I/O: aliases.json, ledger, artefacts.

An alias is a pointer of this machine: it moves, and no record holds it. Removal of unused models keeps what it names.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from flyball.errors import InputError, NotFoundError
from flyball.records import EvalReport, GateDecision, ModelVersion, Release
from flyball.records.canonical import to_plain
from flyball.registry.aliases import FILE, find_model, read_aliases
from flyball.storage.ledger import Stored
from flyball.storage.signatures import signature_path
from flyball.whole_files import held, replace_file
from flyball.wiring import Project

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_DIGITS = re.compile(r"[0-9a-f]{8,64}")


def aliases_of(project: Project) -> dict[str, str]:
    """Every alias with its model's name."""
    return read_aliases(project.places.state)


def set_alias(project: Project, alias: str, model: str | None) -> dict[str, str]:
    """Point an alias at a model, or (None) remove it; all aliases afterwards."""
    if not _NAME.fullmatch(alias) or _DIGITS.fullmatch(alias):
        raise InputError(
            f"{alias!r} is not a name of an alias", cure="use small letters, digits, - and _, such as champion"
        )
    target = model_named(project, model)[0].id if model else None
    with held(project.places.state / "aliases.lock"):
        aliases = aliases_of(project)
        if target is None and alias not in aliases:
            raise NotFoundError(f"there is no alias {alias}", cure="see `flyball models alias`")
        changed = {name: one for name, one in aliases.items() if name != alias}
        if target:
            changed[alias] = target
        data = msgspec.json.encode(changed, order="sorted")
        replace_file(project.places.state / FILE, data, durable=True)
    return changed


def model_named(project: Project, name: str) -> tuple[Stored, ModelVersion]:
    """A model version by its alias, its name, its first digits, or a release of it; InputError for another record."""
    return find_model(project.ledger, project.places.state, name)


def model_facts(project: Project, name: str) -> dict[str, Any]:
    """One version: what it is, where it came from, its files, releases, scores, verdicts, aliases, signature."""
    stored, model = model_named(project, name)
    releases = [
        one.id
        for one in project.ledger.find(Release, limit=100_000)
        if isinstance(one.record, Release) and stored.id in (one.record.model, one.record.adapter)
    ]
    scores = {
        f"{measure.suite}/{measure.name}": measure.value
        for one in project.ledger.find(EvalReport, limit=1000, newest_first=False)
        if isinstance(one.record, EvalReport) and one.record.release in releases
        for measure in one.record.measures
        if measure.slice is None
    }
    verdicts = {
        one.record.release: one.record.verdict
        for one in project.ledger.find(GateDecision, limit=1000, newest_first=False)
        if isinstance(one.record, GateDecision) and one.record.release in releases
    }
    return {
        "model": stored.id,
        "aliases": sorted(alias for alias, target in aliases_of(project).items() if target == stored.id),
        **{key: value for key, value in to_plain(model).items() if key != "chat_template"},
        "recorded": dict(stored.recorded),
        "releases": releases,
        "scores": scores,
        "gates": verdicts,
        "stored": stored.id in project.artifacts.names(),
        "signed": signature_path(project.artifacts, stored.id).is_file(),
    }
