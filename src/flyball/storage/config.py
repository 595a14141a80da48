"""Settings of the ledger."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class LedgerConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the ledger is; SQLite inside the project unless a URL says otherwise."""

    url: (
        Annotated[
            str,
            Meta(
                description="A SQLAlchemy URL such as env:FLYBALL_LEDGER_URL or postgresql://HOST/NAME; null: SQLite."
            ),
        ]
        | None
    ) = None
