"""Millions of rows: two indexes for retention, which looks every minute, and statistics for SQLite's planner.

Without statistics SQLite takes `project = ?` to leave ten rows: it would read and sort all requests for a page of the
newest. These are fixed, of a ledger of one project and a million requests, and never renewed: plans do not change as a
ledger grows, and no values are copied out of it (https://www.sqlite.org/lang_analyze.html, "fixed results of ANALYZE").
"""

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"

SEALED, REDACTED = "payloads_by_expiry", "payloads_redacted_only"
ROWS_AND_ROWS_PER_KEY = {
    ("requests", "sqlite_autoindex_requests_1"): "1000000 1",
    ("requests", "requests_by_release"): "1000000 1000000 100000 1",
    ("requests", "requests_by_route"): "1000000 1000000 500000 1",
    ("requests", "requests_by_subject"): "1000000 1000000 50",
    ("requests", "requests_by_conversation"): "1000000 1000000 10",
    ("requests", "requests_by_client_id"): "1000000 1000000 300000 2",
    ("requests", "requests_by_time"): "1000000 1000000 2",
    ("feedback", "sqlite_autoindex_feedback_1"): "100000 1",
    ("feedback", "feedback_by_request"): "100000 2",
    ("feedback", "feedback_by_client_id"): "100000 100000 30000 2",
    ("payloads", "sqlite_autoindex_payloads_1"): "1000000 1",
    ("payloads", "payloads_by_subject"): "1000000 1000000 50",
    ("payloads", SEALED): "200000 200000 2",
    ("payloads", REDACTED): "800000 800000 1",
}


def upgrade() -> None:
    """Take what is forgotten out of the one index, make the other; tell SQLite what there will be."""
    op.drop_index(SEALED, "payloads")
    for name, columns, condition in (
        (SEALED, ["project", "expires_ms"], text("sealed IS NOT NULL")),
        (REDACTED, ["project", "id"], text("sealed IS NULL")),
    ):
        op.create_index(name, "payloads", columns, sqlite_where=condition, postgresql_where=condition)
    if op.get_bind().dialect.name == "sqlite":
        op.execute(text("ANALYZE alembic_version"))  # of all that makes the table of statistics the quickest
        op.execute(text("DELETE FROM sqlite_stat1"))
        row = text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (:table, :index, :stat)")
        for (table, index), stat in ROWS_AND_ROWS_PER_KEY.items():
            op.execute(row.bindparams(table=table, index=index, stat=stat))
        op.execute(text("ANALYZE sqlite_master"))  # reads them for this connection; later ones do so by themselves


def downgrade() -> None:
    """Index every payload by expiry again, and let SQLite guess."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(text("DELETE FROM sqlite_stat1"))
    op.drop_index(REDACTED, "payloads")
    op.drop_index(SEALED, "payloads")
    op.create_index(SEALED, "payloads", ["expires_ms"])
