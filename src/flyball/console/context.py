"""What the console is given: the ledger it reads, the project's settings, and the project's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flyball.settings import Settings
from flyball.storage.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleContext:
    """Built once by wiring; the console only reads from it."""

    ledger: Ledger
    settings: Settings
    root: Path
