"""Takes deleted bytes out of the database's files. I/O: SQLite's write-ahead log; PostgreSQL's dead rows."""

from __future__ import annotations

import time

from flyball.errors import LockedError
from flyball.storage.ledger import Ledger

PATIENCE_S = 30.0
_HOLDERS = ("payloads", "subject_keys", "requests", "feedback", "monitors")


def wipe(ledger: Ledger) -> None:
    """SQLite (secure_delete is on): empty the write-ahead log. PostgreSQL: free dead rows, rewrite the table of keys.

    PostgreSQL keeps old row versions in its own log until that is recycled; what is there is redacted or sealed under a
    key whose only copy is wrapped by the project key.
    """
    if ledger.engine.dialect.name == "sqlite":
        _truncate_log(ledger)
        return
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in _HOLDERS:
            connection.exec_driver_sql(f"VACUUM {table}")
        connection.exec_driver_sql("VACUUM FULL subject_keys")


def _truncate_log(ledger: Ledger) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        raw = ledger.engine.raw_connection()
        try:
            cursor = raw.cursor()
            busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            cursor.close()
        finally:
            raw.close()
        if not busy:
            return
        if time.monotonic() > deadline:
            raise LockedError(
                "somebody is reading the ledger for so long that erased bytes stay in its write-ahead log",
                cure="close what reads .flyball/ledger.db and run the erasure again: it goes on where it is",
            )
        time.sleep(0.2)
