"""Teams; rates and concurrency leased like budgets, one row per worker; what each worker's records say it spent.

The slices of a budget become one settled row each: those that were open count in full.
"""

from alembic import op
from sqlalchemy import BigInteger, Column, Float, PrimaryKeyConstraint, String, Text, text

revision = "0002"
down_revision = "0001"

TABLES = ("limit_levels", "limit_shares", "limit_workers", "teams", "worker_spend")
OLD = "earlier slices"


def upgrade() -> None:
    """Create the tables, and sum the slices up."""
    op.create_table(
        "teams",
        Column("project", String(100), nullable=False),
        Column("name", String(100), nullable=False),
        Column("limits", Text(), nullable=False),
        Column("created_ms", BigInteger(), nullable=False),
        PrimaryKeyConstraint("project", "name"),
    )
    op.create_table(
        "limit_workers",
        Column("project", String(100), nullable=False),
        Column("worker", String(64), nullable=False),
        Column("expires_ms", BigInteger(), nullable=False),
        PrimaryKeyConstraint("project", "worker"),
    )
    op.create_table(
        "limit_shares",
        Column("project", String(100), nullable=False),
        Column("account", String(100), nullable=False),
        Column("kind", String(16), nullable=False),
        Column("period", String(16), nullable=False),
        Column("worker", String(64), nullable=False),
        Column("granted", Float(), nullable=False),
        Column("spent", Float(), nullable=False),
        Column("state", String(16), nullable=False),
        PrimaryKeyConstraint("project", "account", "kind", "period", "worker"),
    )
    op.create_index("limit_shares_by_worker", "limit_shares", ["project", "worker"])
    op.create_table(
        "limit_levels",
        Column("project", String(100), nullable=False),
        Column("account", String(100), nullable=False),
        Column("kind", String(16), nullable=False),
        Column("level", Float(), nullable=False),
        Column("at_ms", BigInteger(), nullable=False),
        PrimaryKeyConstraint("project", "account", "kind"),
    )
    op.create_table(
        "worker_spend",
        Column("project", String(100), nullable=False),
        Column("worker", String(64), nullable=False),
        Column("account", String(100), nullable=False),
        Column("period", String(16), nullable=False),
        Column("usd", Float(), nullable=False),
        PrimaryKeyConstraint("project", "worker", "account", "period"),
    )
    used = "SUM(CASE WHEN state = 'open' THEN granted_usd ELSE spent_usd END)"
    op.execute(
        text(
            "INSERT INTO limit_shares (project, account, kind, period, worker, granted, spent, state) "
            f"SELECT project, budget, 'usd', period, '{OLD}', {used}, {used}, 'settled' "
            "FROM budget_slices GROUP BY project, budget, period"
        )
    )
    op.drop_index("budget_slices_by_budget", "budget_slices")
    op.drop_table("budget_slices")


def downgrade() -> None:
    """Bring slices back, one settled slice per budget, period and worker; limits of teams and rates are lost."""
    op.create_table(
        "budget_slices",
        Column("id", String(64), nullable=False),
        Column("project", String(100), nullable=False),
        Column("budget", String(100), nullable=False),
        Column("period", String(32), nullable=False),
        Column("worker", String(64), nullable=False),
        Column("epoch", BigInteger(), nullable=False),
        Column("granted_usd", Float(), nullable=False),
        Column("spent_usd", Float(), nullable=False),
        Column("state", String(16), nullable=False),
        Column("expires_ms", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("budget_slices_by_budget", "budget_slices", ["project", "budget", "period"])
    row = "CAST(ROW_NUMBER() OVER (ORDER BY project, account, period, worker) AS VARCHAR(20))"
    used = "CASE WHEN state = 'settled' THEN spent ELSE granted END"
    op.execute(
        text(
            "INSERT INTO budget_slices (id, project, budget, period, worker, epoch, granted_usd, spent_usd, state, "
            f"expires_ms) SELECT 'share-' || {row}, project, account, period, worker, 0, granted, {used}, 'settled', 0 "
            "FROM limit_shares WHERE kind = 'usd'"
        )
    )
    op.drop_index("limit_shares_by_worker", "limit_shares")
    for table in TABLES:
        op.drop_table(table)
