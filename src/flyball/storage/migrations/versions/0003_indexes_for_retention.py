"""Two indexes for retention, which looks every minute: of payloads that are sealed by expiry, of all others by age."""

from alembic import op
from sqlalchemy import text

revision = "0003"
down_revision = "0002"

SEALED, REDACTED = "payloads_by_expiry", "payloads_redacted_only"


def upgrade() -> None:
    """Take what is forgotten out of the one, and make the other."""
    op.drop_index(SEALED, "payloads")
    for name, columns, condition in (
        (SEALED, ["project", "expires_ms"], text("sealed IS NOT NULL")),
        (REDACTED, ["project", "id"], text("sealed IS NULL")),
    ):
        op.create_index(name, "payloads", columns, sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    """Index every payload by expiry again."""
    op.drop_index(REDACTED, "payloads")
    op.drop_index(SEALED, "payloads")
    op.create_index(SEALED, "payloads", ["expires_ms"])
