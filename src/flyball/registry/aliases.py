"""Names that people give to model versions, and the model that a name means. I/O: a file, the ledger."""

from __future__ import annotations

from pathlib import Path

import msgspec

from flyball.errors import CorruptionError, InputError
from flyball.records import ModelVersion, Release
from flyball.storage.ledger import Ledger, Stored

FILE = "aliases.json"


def read_aliases(state: Path) -> dict[str, str]:
    """Every alias with its model's name, from a project's state folder."""
    path = state / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}
    except msgspec.MsgspecError as error:
        raise CorruptionError(f"{path} cannot be read: {error}", cure="delete it, and set the aliases again") from error


def find_model(ledger: Ledger, state: Path, name: str) -> tuple[Stored, ModelVersion]:
    """A model version by its alias, its name, its first digits, or a release of it; InputError for another record."""
    stored = ledger.get(read_aliases(state).get(name, name))
    if isinstance(stored.record, Release):
        stored = ledger.get(stored.record.model)
    if not isinstance(stored.record, ModelVersion):
        raise InputError(f"{name} is a {type(stored.record).__name__}, not a model", cure="see `flyball models`")
    return stored, stored.record
