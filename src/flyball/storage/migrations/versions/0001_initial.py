"""The first shape: records, edges, traffic, deployments, keys, budgets, erasure, audit."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
)

revision = "0001"
down_revision = None

SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")
TABLES = (
    "api_keys",
    "audit",
    "budget_slices",
    "edges",
    "erasures",
    "feedback",
    "leases",
    "monitors",
    "payloads",
    "pointers",
    "records",
    "requests",
    "segments",
    "spend",
    "subject_keys",
    "suppressions",
    "transitions",
)


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "api_keys",
        Column("id", String(64), nullable=False),
        Column("project", String(100), nullable=False),
        Column("name", String(100), nullable=False),
        Column("secret_hash", String(64), nullable=False),
        Column("role", String(16), nullable=False),
        Column("team", String(100)),
        Column("routes", Text(), nullable=False),
        Column("limits", Text(), nullable=False),
        Column("created_ms", BigInteger(), nullable=False),
        Column("expires_ms", BigInteger()),
        Column("revoked_ms", BigInteger()),
        PrimaryKeyConstraint("id"),
        UniqueConstraint("secret_hash"),
    )
    op.create_table(
        "audit",
        Column("seq", SEQUENCE, primary_key=True),
        Column("project", String(100), nullable=False),
        Column("at_ms", BigInteger(), nullable=False),
        Column("actor", String(100), nullable=False),
        Column("action", String(64), nullable=False),
        Column("subject", String(200), nullable=False),
        Column("details", Text(), nullable=False),
        Column("previous", String(64), nullable=False),
        Column("hash", String(64), nullable=False),
        UniqueConstraint("hash"),
        sqlite_autoincrement=True,
    )
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
    op.create_table(
        "edges",
        Column("child", String(64), nullable=False),
        Column("relation", String(32), nullable=False),
        Column("parent", String(64), nullable=False),
        PrimaryKeyConstraint("child", "relation", "parent"),
    )
    op.create_index("edges_by_parent", "edges", ["parent"])
    op.create_table(
        "erasures",
        Column("seq", SEQUENCE, primary_key=True),
        Column("project", String(100), nullable=False),
        Column("subject", String(64), nullable=False),
        Column("old", String(64), nullable=False),
        Column("new", String(64)),
        Column("effect", String(32), nullable=False),
        Column("receipt", String(64), nullable=False),
        Column("at_ms", BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("erasures_by_old", "erasures", ["old"])
    op.create_table(
        "feedback",
        Column("seq", SEQUENCE, primary_key=True),
        Column("id", String(64), nullable=False),
        Column("project", String(100), nullable=False),
        Column("request", String(64)),
        Column("key_id", String(64), nullable=False),
        Column("client_id", String(64)),
        Column("score", Float()),
        Column("label", String(200)),
        Column("at_ms", BigInteger(), nullable=False),
        Column("body", LargeBinary(), nullable=False),
        UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("feedback_by_client_id", "feedback", ["project", "key_id", "client_id"])
    op.create_index("feedback_by_request", "feedback", ["request"])
    op.create_table(
        "leases",
        Column("name", String(200), nullable=False),
        Column("epoch", BigInteger(), nullable=False),
        Column("holder", String(200), nullable=False),
        Column("expires_ms", BigInteger(), nullable=False),
        PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "monitors",
        Column("project", String(100), nullable=False),
        Column("name", String(200), nullable=False),
        Column("through_seq", BigInteger(), nullable=False),
        Column("state", Text(), nullable=False),
        PrimaryKeyConstraint("project", "name"),
    )
    op.create_table(
        "payloads",
        Column("id", String(64), nullable=False),
        Column("project", String(100), nullable=False),
        Column("subject", String(64), nullable=False),
        Column("sealed", LargeBinary()),
        Column("redacted", Text()),
        Column("expires_ms", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_index("payloads_by_expiry", "payloads", ["expires_ms"])
    op.create_index("payloads_by_subject", "payloads", ["project", "subject"])
    op.create_table(
        "pointers",
        Column("project", String(100), nullable=False),
        Column("route", String(100), nullable=False),
        Column("live_release", String(64)),
        Column("live_deployment", String(64)),
        Column("previous_release", String(64)),
        Column("previous_deployment", String(64)),
        Column("version", BigInteger(), nullable=False),
        PrimaryKeyConstraint("project", "route"),
    )
    op.create_table(
        "records",
        Column("seq", SEQUENCE, primary_key=True),
        Column("id", String(64), nullable=False),
        Column("project", String(100), nullable=False),
        Column("type", String(32), nullable=False),
        Column("body", LargeBinary(), nullable=False),
        Column("recorded", Text(), nullable=False),
        Column("at_ms", BigInteger(), nullable=False),
        UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("records_by_type", "records", ["project", "type", "seq"])
    op.create_table(
        "requests",
        Column("seq", SEQUENCE, primary_key=True),
        Column("id", String(64), nullable=False),
        Column("project", String(100), nullable=False),
        Column("route", String(100), nullable=False),
        Column("release", String(64), nullable=False),
        Column("deployment", String(64)),
        Column("variant", String(32), nullable=False),
        Column("key_id", String(64), nullable=False),
        Column("subject", String(64)),
        Column("conversation", String(64)),
        Column("client_id", String(64)),
        Column("unit", String(64), nullable=False),
        Column("at_ms", BigInteger(), nullable=False),
        Column("outcome", String(16), nullable=False),
        Column("status", Integer(), nullable=False),
        Column("total_ms", Float(), nullable=False),
        Column("first_token_ms", Float()),
        Column("prompt_tokens", Integer(), nullable=False),
        Column("completion_tokens", Integer(), nullable=False),
        Column("cost_usd", Float(), nullable=False),
        Column("body", LargeBinary(), nullable=False),
        UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("requests_by_client_id", "requests", ["project", "key_id", "client_id"])
    op.create_index("requests_by_conversation", "requests", ["project", "conversation"])
    op.create_index("requests_by_release", "requests", ["project", "release", "seq"])
    op.create_index("requests_by_route", "requests", ["project", "route", "seq"])
    op.create_index("requests_by_subject", "requests", ["project", "subject"])
    op.create_index("requests_by_time", "requests", ["project", "at_ms"])
    op.create_table(
        "segments",
        Column("id", String(128), nullable=False),
        Column("project", String(100), nullable=False),
        Column("offset", BigInteger(), nullable=False),
        PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "spend",
        Column("seq", SEQUENCE, primary_key=True),
        Column("project", String(100), nullable=False),
        Column("kind", String(32), nullable=False),
        Column("subject", String(64), nullable=False),
        Column("usd", Float(), nullable=False),
        Column("quantity", Float(), nullable=False),
        Column("at_ms", BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("spend_by_kind", "spend", ["project", "kind"])
    op.create_table(
        "subject_keys",
        Column("project", String(100), nullable=False),
        Column("subject", String(64), nullable=False),
        Column("wrapped", LargeBinary(), nullable=False),
        PrimaryKeyConstraint("project", "subject"),
    )
    op.create_table(
        "suppressions",
        Column("project", String(100), nullable=False),
        Column("hash", String(64), nullable=False),
        Column("at_ms", BigInteger(), nullable=False),
        PrimaryKeyConstraint("project", "hash"),
    )
    op.create_table(
        "transitions",
        Column("seq", SEQUENCE, primary_key=True),
        Column("project", String(100), nullable=False),
        Column("deployment", String(64), nullable=False),
        Column("state", String(16), nullable=False),
        Column("step", Integer(), nullable=False),
        Column("epoch", BigInteger(), nullable=False),
        Column("body", LargeBinary(), nullable=False),
        Column("at_ms", BigInteger(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("transitions_by_deployment", "transitions", ["deployment", "seq"])


def downgrade() -> None:
    """Remove every table, with all it holds."""
    for table in TABLES:
        op.drop_table(table)
