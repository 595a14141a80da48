"""A full disk, a wrong folder, a damaged file, a silent server: a cause and a cure, never a traceback."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from flyball.errors import CorruptionError, EnvironmentMissing, InputError, LockedError
from flyball.records import Deployment
from flyball.storage.connections import connect
from flyball.storage.ledger import Ledger, open_ledger
from record_samples import deployment_record


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root may write everywhere; the tests of permissions act as somebody who may not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="flyball-test-"))
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


def test_a_folder_that_cannot_be_made_names_itself_and_a_cure(folder: Path) -> None:
    folder.chmod(0o555)
    with as_ordinary_user(), pytest.raises(EnvironmentMissing, match=r"cannot make the ledger's folder .*/new: Permis"):
        open_ledger(f"sqlite:///{folder}/new/ledger.db", project="shop")


def test_a_file_in_the_folders_place_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(EnvironmentMissing, match="cannot make the ledger's folder"):
        open_ledger(f"sqlite:///{folder}/file/ledger.db", project="shop")


def test_an_unwritable_folder_is_named(folder: Path) -> None:
    folder.chmod(0o555)
    with as_ordinary_user(), pytest.raises(EnvironmentMissing, match=r"Permission denied(.|\n)*check the permissions"):
        open_ledger(f"sqlite:///{folder}/ledger.db", project="shop")


def test_an_unwritable_ledger_is_named(folder: Path, sqlite_template: Path) -> None:
    shutil.copyfile(sqlite_template, folder / "ledger.db")
    (folder / "ledger.db").chmod(0o444)
    folder.chmod(0o555)
    with as_ordinary_user(), pytest.raises(EnvironmentMissing, match=r"ledger\.db cannot be opened or written"):
        ledger = open_ledger(f"sqlite:///{folder}/ledger.db", project="shop")
        ledger.append(deployment_record())


@pytest.mark.parametrize("content", [b"hello, this is no database at all" * 100, b"\0" * 8192])
def test_a_file_that_is_no_database_is_damaged_not_overwritten(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    with pytest.raises(CorruptionError, match=r"ledger\.db is damaged: file is not a database"):
        open_ledger(f"sqlite:///{path}", project="shop")
    assert path.read_bytes() == content


def test_a_damaged_page_is_found_when_it_is_read(tmp_path: Path, sqlite_template: Path) -> None:
    path = tmp_path / "ledger.db"
    shutil.copyfile(sqlite_template, path)
    ledger = open_ledger(f"sqlite:///{path}", project="shop")
    for _ in range(200):
        ledger.append(deployment_record())
    ledger.close()
    with sqlite3.connect(path) as database:
        page, size = database.execute("SELECT rootpage FROM sqlite_master WHERE name='records'").fetchone()[0], 4096
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with pytest.raises(CorruptionError, match="is damaged"):
        open_ledger(f"sqlite:///{path}", project="shop").find(Deployment)


def test_a_full_database_says_so_and_keeps_what_it_has(sqlite_ledger: Ledger) -> None:
    before = len(sqlite_ledger.find(Deployment, limit=10_000))
    with (
        pytest.raises(EnvironmentMissing, match=r"no space left(.|\n)*free space"),
        sqlite_ledger.begin() as connection,
    ):
        connection.execute(text("PRAGMA max_page_count = 1"))
        while True:
            sqlite_ledger.append(deployment_record(), connection=connection)
    assert len(sqlite_ledger.find(Deployment, limit=10_000)) == before


def test_a_disk_that_takes_no_more_bytes_stops_with_a_cause_and_keeps_every_whole_record(
    tmp_path: Path, sqlite_template: Path
) -> None:
    path = tmp_path / "ledger.db"
    shutil.copyfile(sqlite_template, path)
    code = f"""
import resource, sys
from record_samples import deployment_record
from flyball.errors import EnvironmentMissing
from flyball.storage.ledger import open_ledger
ledger = open_ledger("sqlite:///{path}", project="shop")
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
added = 0
try:
    while True:
        ledger.append(deployment_record(reason="x" * 5000))
        added += 1
except EnvironmentMissing as error:
    print(added)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "support")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    kept = open_ledger(f"sqlite:///{path}", project="shop").find(Deployment, limit=10_000)
    assert len(kept) == int(done.stdout) > 0


def test_a_writer_that_waits_too_long_says_who_is_in_the_way(ledger: Ledger, ledger_url: str) -> None:
    other = open_ledger(ledger_url, project="shop")
    with other.engine.connect() as impatient:  # thirty seconds would be long for a test
        setting = "SET lock_timeout = '100ms'" if "postgresql" in ledger_url else "PRAGMA busy_timeout = 100"
        impatient.exec_driver_sql(setting)
        impatient.commit()
    with ledger.begin(), pytest.raises(LockedError, match="is held by another process"), other.begin():
        pass
    other.close()


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"postgresql://flyball:hush@127.0.0.1:{closed.getsockname()[1]}/none"
        with pytest.raises(EnvironmentMissing, match="does not answer") as caught:
            open_ledger(url, project="shop")
    assert "hush" not in str(caught.value)


def test_a_database_that_does_not_exist_is_named(postgresql_server: str) -> None:
    with pytest.raises(EnvironmentMissing, match='"nowhere" does not exist'):
        open_ledger(f"{postgresql_server}/nowhere", project="shop")


@pytest.mark.parametrize("url", ["mysql://host/name", "sqlite://", "sqlite:///:memory:", "postgresql://h:port/x", ""])
def test_an_address_of_no_ledger_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="ledger URL"):
        connect(url)


def dropped(ledger: Ledger, server: str) -> None:
    """What a restart of the server does to the connections that wait in our pool."""
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (ledger.engine.url.database,)
        )


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_a_server_that_was_restarted_is_reached_again(ledger: Ledger, postgresql_server: str) -> None:
    ledger.append(deployment_record())
    dropped(ledger, postgresql_server)
    assert ledger.append(deployment_record())
    assert len(ledger.find(Deployment)) == 2


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_a_server_that_goes_away_in_the_middle_has_written_nothing(ledger: Ledger, postgresql_server: str) -> None:
    with pytest.raises(EnvironmentMissing, match="does not answer"), ledger.begin() as connection:
        ledger.append(deployment_record(), connection=connection)
        dropped(ledger, postgresql_server)
        ledger.append(deployment_record(), connection=connection)
    assert ledger.find(Deployment) == []


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_no_writer_can_hold_up_the_others_for_ever(ledger: Ledger) -> None:
    with ledger.read() as connection:
        found = [
            connection.execute(text(f"SHOW {name}")).scalar_one()
            for name in ("lock_timeout", "idle_in_transaction_session_timeout")
        ]
    assert found == ["30s", "1min"]
