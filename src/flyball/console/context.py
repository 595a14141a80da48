"""What the console is given: the project, with the ledger that it reads, and the playground over it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.settings import Settings
from flyball.storage.ledger import Ledger
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.workflows.playground import Playground


@dataclass(frozen=True, kw_only=True)
class ConsoleContext:
    """Pages only read; the playground alone asks engines."""

    project: Project

    @property
    def ledger(self) -> Ledger:
        """The project's ledger."""
        return self.project.ledger

    @property
    def settings(self) -> Settings:
        """The project's settings."""
        return self.project.settings

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.project.root

    @cached_property
    def playground(self) -> Playground:
        """Built when its page is first opened."""
        from flyball.workflows.playground import Playground  # what asks engines loads once somebody asks

        return Playground(self.project)
