"""A gate in a file of its own, for use without a project. I/O: reads YAML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml

from flyball.errors import ConfigError, NotFoundError, nearest
from flyball.records.yaml_documents import load_yaml
from flyball.rollout.config import GateConfig, GateRule, rule_problem
from flyball.rollout.gate_groups import SIGNED, UNBOUNDED
from flyball.rollout.gate_rules import comparison

SHAPE = "alpha: 0.05\n    rules:\n    - {measure: exact_match, at_least: 0.8}"


def load_gate(path: Path, known: Mapping[str, Sequence[str]] | None = None) -> GateConfig:
    """The gate in a YAML file: `alpha` and `rules`, as under `gate:` in flyball.yaml (that key may stand around it).

    `known` are the measures of each suite that will be asked: a rule that names no suite is about each that has its
    measure, and what is not among them is refused. Nothing is live there, so rules against it are refused too.
    """
    if not path.is_file():
        raise NotFoundError(f"no gate file {path}", cure=f"write one such as\n    {SHAPE}")
    try:
        document = load_yaml(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}", cure="fix the line that it names") from error
    if isinstance(document, dict) and isinstance(document.get("gate"), dict):
        document = document["gate"]  # of a flyball.yaml, or alone
    if not isinstance(document, dict) or not isinstance(document.get("rules"), list) or not document["rules"]:
        raise ConfigError(f"{path} holds no rules", cure=f"write it such as\n    {SHAPE}")
    if known is not None:
        document = {**document, "rules": [one for rule in document["rules"] for one in spread(rule, known)]}
    try:
        gate = msgspec.convert(document, GateConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}", cure=hint(str(error))) from error
    for rule in gate.rules:
        name, threshold = comparison(rule)
        if known is not None:
            if problem := rule_problem(rule, known):
                raise ConfigError(f"{path}: {problem[0]}", cure=problem[1])
            check_proves(rule, name, threshold, source=str(path))
    return gate


def spread(rule: Any, known: Mapping[str, Sequence[str]]) -> Iterator[Any]:
    """A rule without a suite, for each suite that has its measure; where none has, for the first, to be refused."""
    if not isinstance(rule, dict) or "suite" in rule:
        yield rule
        return
    suites = [suite for suite, measures in known.items() if rule.get("measure") in measures] or list(known)[:1]
    yield from ({**rule, "suite": suite} for suite in suites)


def check_proves(rule: GateRule, name: str, threshold: float, *, source: str) -> None:
    """ConfigError for a rule that any server passes: it would look like evidence."""
    what = f"{source}: the rule {rule.measure} {name} {threshold:g}"
    if name.endswith("_than_live"):
        raise ConfigError(
            f"{what} compares with a live release, and a URL has none", cure="leave it out here, and give at_least"
        )
    least = -1.0 if rule.measure in SIGNED else 0.0
    unbounded = is_time(rule) or rule.measure in UNBOUNDED
    if (name == "at_least" and threshold <= least) or (name == "at_most" and threshold >= 1 and not unbounded):
        raise ConfigError(f"{what} is passed by anything", cure="give a threshold that a bad server does not reach")


def is_time(rule: GateRule) -> bool:
    """Whether the rule is on milliseconds, which have no largest value."""
    return rule.measure.endswith("_ms")


def hint(message: str) -> str:
    """The nearest known key for an unknown one, else the shape of a gate file."""
    known = [*GateConfig.__struct_fields__, *GateRule.__struct_fields__]
    parts = message.split("`")
    close = nearest(parts[1], known) if "unknown field" in message and len(parts) > 1 else ""
    return f"did you mean {close}?" if close else f"write it such as\n    {SHAPE}"
