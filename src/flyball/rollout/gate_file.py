"""A gate in a file of its own, for use without a project. I/O: reads YAML."""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from flyball.errors import ConfigError, NotFoundError, nearest
from flyball.rollout.config import GateConfig, GateRule
from flyball.rollout.gate_rules import comparison

SHAPE = "alpha: 0.05\n    rules:\n    - {suite: cases, measure: exact_match, at_least: 0.8}"


def load_gate(path: Path) -> GateConfig:
    """The gate in a YAML file: `alpha` and `rules`, as under `gate:` in flyball.yaml (that key may stand around it)."""
    if not path.is_file():
        raise NotFoundError(f"no gate file {path}", cure=f"write one such as\n    {SHAPE}")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}", cure="mend the line that it names") from error
    if isinstance(document, dict) and set(document) == {"gate"}:
        document = document["gate"]
    if not isinstance(document, dict) or "rules" not in document:
        raise ConfigError(f"{path} holds no rules", cure=f"write it such as\n    {SHAPE}")
    try:
        gate = msgspec.convert(document, GateConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}", cure=hint(str(error))) from error
    for rule in gate.rules:
        comparison(rule)
    return gate


def hint(message: str) -> str:
    """The nearest known key for an unknown one, else the shape of a gate file."""
    known = [*GateConfig.__struct_fields__, *GateRule.__struct_fields__]
    parts = message.split("`")
    close = nearest(parts[1], known) if "unknown field" in message and len(parts) > 1 else ""
    return f"did you mean {close}?" if close else f"write it such as\n    {SHAPE}"
