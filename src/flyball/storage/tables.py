"""Every table of the ledger, as SQLAlchemy metadata; migrations/ brings a database to this shape.

`records` holds canonical bytes; the other columns everywhere are indexes or operational state. `payloads` and
`subject_keys` are the only tables with personal content (sealed or redacted), and the only ones erasure deletes from.
An index of requests, feedback or payloads needs statistics for SQLite beside it, as migration 0003 gives them.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()
_sequence = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only for INTEGER PRIMARY KEY

records = Table(
    "records",
    metadata,
    Column("seq", _sequence, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("project", String(100), nullable=False),
    Column("type", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("recorded", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("records_by_type", "project", "type", "seq"),
    sqlite_autoincrement=True,
)

edges = Table(
    "edges",
    metadata,
    Column("child", String(64), primary_key=True),
    Column("relation", String(32), primary_key=True),
    Column("parent", String(64), primary_key=True),
    Index("edges_by_parent", "parent"),
)

requests = Table(
    "requests",
    metadata,
    Column("seq", _sequence, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
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
    Column("at_ms", BigInteger, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("status", Integer, nullable=False),
    Column("total_ms", Float, nullable=False),
    Column("first_token_ms", Float),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cost_usd", Float, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("requests_by_release", "project", "release", "seq"),
    Index("requests_by_route", "project", "route", "seq"),
    Index("requests_by_subject", "project", "subject"),
    Index("requests_by_conversation", "project", "conversation"),
    Index("requests_by_client_id", "project", "key_id", "client_id"),
    Index("requests_by_time", "project", "at_ms"),
    sqlite_autoincrement=True,
)

feedback = Table(
    "feedback",
    metadata,
    Column("seq", _sequence, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("project", String(100), nullable=False),
    Column("request", String(64)),
    Column("key_id", String(64), nullable=False),
    Column("client_id", String(64)),
    Column("score", Float),
    Column("label", String(200)),
    Column("at_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("feedback_by_request", "request"),
    Index("feedback_by_client_id", "project", "key_id", "client_id"),
    sqlite_autoincrement=True,
)

payloads = Table(
    "payloads",
    metadata,
    Column("id", String(64), primary_key=True),  # of a RequestRecord or a Feedback
    Column("project", String(100), nullable=False),
    Column("subject", String(64), nullable=False),  # names the key that sealed it
    Column("sealed", LargeBinary),  # None once its time is over
    Column("redacted", Text),  # JSON with personal data replaced; None once erased
    Column("expires_ms", BigInteger, nullable=False),
    Index("payloads_by_subject", "project", "subject"),
    # Of some rows only, as migration 0003 says: to say so here would load both databases' dialects at every start.
    Index("payloads_by_expiry", "project", "expires_ms"),  # sealed IS NOT NULL
    Index("payloads_redacted_only", "project", "id"),  # sealed IS NULL
)

subject_keys = Table(
    "subject_keys",
    metadata,
    Column("project", String(100), primary_key=True),
    Column("subject", String(64), primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)

transitions = Table(
    "transitions",
    metadata,
    Column("seq", _sequence, primary_key=True, autoincrement=True),
    Column("project", String(100), nullable=False),
    Column("deployment", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("step", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("transitions_by_deployment", "deployment", "seq"),
    sqlite_autoincrement=True,
)

pointers = Table(
    "pointers",
    metadata,
    Column("project", String(100), primary_key=True),
    Column("route", String(100), primary_key=True),
    Column("live_release", String(64)),
    Column("live_deployment", String(64)),
    Column("previous_release", String(64)),
    Column("previous_deployment", String(64)),
    Column("version", BigInteger, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", String(200), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project", String(100), nullable=False),
    Column("name", String(100), nullable=False),
    Column("secret_hash", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),  # client | admin
    Column("team", String(100)),
    Column("routes", Text, nullable=False),  # JSON list; empty: all
    Column("limits", Text, nullable=False),  # JSON: requests_per_minute, tokens_per_minute, concurrency, budget_usd
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("revoked_ms", BigInteger),
)

teams = Table(
    "teams",
    metadata,
    Column("project", String(100), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("limits", Text, nullable=False),  # JSON, as of a key
    Column("created_ms", BigInteger, nullable=False),
)

limit_workers = Table(
    "limit_workers",
    metadata,
    Column("project", String(100), primary_key=True),
    Column("worker", String(64), primary_key=True),
    Column("expires_ms", BigInteger, nullable=False),  # of all that this worker holds
)

limit_shares = Table(
    "limit_shares",
    metadata,
    Column("project", String(100), primary_key=True),
    Column("account", String(100), primary_key=True),  # "key:ID" or "team:NAME"
    Column("kind", String(16), primary_key=True),  # usd | seats | requests | tokens
    Column("period", String(16), primary_key=True),  # of usd: such as 2026-11; else empty
    Column("worker", String(64), primary_key=True),
    Column("granted", Float, nullable=False),  # what this worker has spent or may spend
    Column("spent", Float, nullable=False),  # of usd: what it has spent
    Column("state", String(16), nullable=False),  # open (granted counts) | expired (as open) | settled (spent counts)
    Index("limit_shares_by_worker", "project", "worker"),
)

limit_levels = Table(
    "limit_levels",
    metadata,
    Column("project", String(100), primary_key=True),
    Column("account", String(100), primary_key=True),
    Column("kind", String(16), primary_key=True),  # requests | tokens
    Column(
        "level", Float, nullable=False
    ),  # what nobody holds, at at_ms; below zero where more was used than set aside
    Column("at_ms", BigInteger, nullable=False),
)

worker_spend = Table(
    "worker_spend",
    metadata,
    Column("project", String(100), primary_key=True),
    Column("worker", String(64), primary_key=True),
    Column("account", String(100), primary_key=True),
    Column("period", String(16), primary_key=True),
    Column("usd", Float, nullable=False),  # cost of its records that are in the ledger
)

spend = Table(
    "spend",
    metadata,
    Column("seq", _sequence, primary_key=True, autoincrement=True),
    Column("project", String(100), nullable=False),
    Column("kind", String(32), nullable=False),  # training | evaluation | serving | idle | storage
    Column("subject", String(64), nullable=False),  # the record paid for
    Column("usd", Float, nullable=False),
    Column("quantity", Float, nullable=False),  # seconds, tokens or byte-seconds
    Column("at_ms", BigInteger, nullable=False),
    Index("spend_by_kind", "project", "kind"),
    sqlite_autoincrement=True,
)

erasures = Table(
    "erasures",
    metadata,
    Column("seq", _sequence, primary_key=True, autoincrement=True),
    Column("project", String(100), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("old", String(64), nullable=False),  # the record whose rows are gone, or that is marked
    Column("new", String(64)),  # what took its place, where something did
    Column("effect", String(32), nullable=False),  # rewritten | marked | deleted
    Column("receipt", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("erasures_by_old", "old"),
    sqlite_autoincrement=True,
)

suppressions = Table(
    "suppressions",
    metadata,
    Column("project", String(100), primary_key=True),
    Column("hash", String(64), primary_key=True),  # keyed hash of a row's content or of a subject
    Column("at_ms", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", _sequence, primary_key=True, autoincrement=True),
    Column("project", String(100), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", String(100), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(200), nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    sqlite_autoincrement=True,
)

segments = Table(
    "segments",
    metadata,
    Column("id", String(128), primary_key=True),  # name of the segment file
    Column("project", String(100), nullable=False),
    Column("offset", BigInteger, nullable=False),  # bytes already in the ledger
)

monitors = Table(
    "monitors",
    metadata,
    Column("project", String(100), primary_key=True),
    Column("name", String(200), primary_key=True),  # a running test, such as drift:ROUTE:RELEASE:new_words
    Column("through_seq", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # JSON
)
