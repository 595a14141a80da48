"""`flyball migrate`: what an upgrade runs before anything else."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, inspect

from flyball.storage import schema
from refusals import refused
from small_shop import ok

SETTINGS = "version: 1\nproject: shop\ntask: chat\ndata: {sources: [{path: rows.jsonl}]}\nledger: {url: '%s'}\n"


def test_it_makes_the_tables_once_and_says_their_version(empty_url: str, tmp_path: Path) -> None:
    (tmp_path / "flyball.yaml").write_text(SETTINGS % empty_url)
    first, again = ok("migrate", cwd=tmp_path), ok("migrate", cwd=tmp_path)
    assert first == again and first["schema"] == schema.HEAD
    engine = create_engine(empty_url.replace("postgresql://", "postgresql+psycopg://"))
    assert {"records", "api_keys", "alembic_version"} <= set(inspect(engine).get_table_names())
    engine.dispose()


def test_a_ledger_that_is_away_is_named_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "flyball.yaml").write_text(SETTINGS % "postgresql://flyball:s3cret@127.0.0.1:1/x")
    said = refused("migrate", cwd=tmp_path, code=5)
    assert "127.0.0.1" in said and "s3cret" not in said
