"""One setting moves the ledger to PostgreSQL; the loop is the same."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from small_shop import eventually, make_small_shop, ok, ok_lines, serving


@pytest.fixture
def shop(postgresql_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small project whose flyball.yaml names a PostgreSQL database by reference."""
    name = f"loop_{uuid4().hex}"
    with psycopg.connect(f"{postgresql_server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    monkeypatch.setitem(os.environ, "FLYBALL_LEDGER_URL", f"{postgresql_server}/{name}")
    root = make_small_shop(tmp_path, rows=400)
    with (root / "flyball.yaml").open("a") as file:
        file.write("ledger: {url: env:FLYBALL_LEDGER_URL}\n")
    return root


def test_the_loop_runs_on_postgresql_by_one_setting(shop: Path) -> None:
    made = ok("run", cwd=shop)
    assert made["gate"]["content"]["verdict"] == "pass"
    with serving(shop) as urls:
        eventually(lambda: ok("status", cwd=shop)["live"].get("shop"))
        body = {"model": "shop", "user": "C00001", "messages": [{"role": "user", "content": "where is my parcel?"}]}
        request = urllib.request.Request(
            f"{urls['gateway']}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            identifier = answer.headers["x-flyball-request-id"]
        eventually(lambda: identifier in {row["id"] for row in ok_lines("requests", cwd=shop)})
        assert ok("lineage", identifier, cwd=shop)["dataset"]["id"] == made["dataset"]["id"]
        back = ok("subject", "erase", "C00001", cwd=shop)
        assert back["removed"]["traffic"]["payloads"] == 1
    assert not (shop / ".flyball/ledger.db").exists()
