"""The ledger's schema version. I/O: creates or migrates the tables."""

from __future__ import annotations

from sqlalchemy import Engine

from flyball.storage import tables


def bring_up_to_date(engine: Engine) -> None:
    """Create or migrate the tables; does nothing when they are current."""
    tables.metadata.create_all(engine)
