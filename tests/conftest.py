"""Fixtures that every package's tests share: a fresh ledger over real SQLite and over a real PostgreSQL server."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from flyball.storage import schema, tables
from flyball.storage.ledger import Ledger, open_ledger

PROJECT = "shop"
TESTS = Path(__file__).parent
pytest_plugins = ["seconds_by_folder", "serial_tests"]
LONGEST = ("workflows", "failures", "control", "cli", "examples", "docs", "serving", "gateway", "registry", "training")
"""Folders whose tests begin first, so that no worker is left with a long one at the end."""

settings.register_profile(
    "flyball",
    deadline=None,  # two shared cores: a slow moment is no defect
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("flyball")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it, and children inherit that


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are no text are named by their place: gzip writes the time, and workers must agree on names."""
    return argname if isinstance(val, bytes) and not val.decode("latin-1").isprintable() else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Folders with long tests first, and files with tests that run alone last; else the order of the files."""
    alone = {item.path for item in items if item.get_closest_marker("serial")}
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (item.path in alone, rank.get(item.path.relative_to(TESTS).parts[0], len(rank))))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What a test opens on its way; closed at its end, the last first."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh, empty ledger whose tables are current; other processes may open it too."""
    if request.param == "sqlite":
        path = tmp_path / "ledger.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    yield _emptied(request.getfixturevalue("postgresql_server"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a ledger that nobody has created yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/new/ledger.db"
        return
    server, name = request.getfixturevalue("postgresql_server"), f"empty_{uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    yield f"{server}/{name}"


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """A fresh ledger of the project `shop`."""
    opened = open_ledger(ledger_url, project=PROJECT)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def sqlite_ledger(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """One SQLite ledger for the many examples of a property test, which must not count on it being empty."""
    path = tmp_path_factory.mktemp("shared") / "ledger.db"
    shutil.copyfile(sqlite_template, path)
    opened = open_ledger(f"sqlite:///{path}", project=PROJECT)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with current tables, made once."""
    path = tmp_path_factory.mktemp("template") / "ledger.db"
    open_ledger(f"sqlite:///{path}", project=PROJECT).close()
    return path


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL server of our own on a loopback port: its URL without a database; stopped by its own pid."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="flyball-pg-"))
    server = _start_server(programs[-1].parent, folder)
    try:
        url = f"postgresql://flyball@127.0.0.1:{_wait_for_port(server, folder)}"
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown: does not wait for clients
        server.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def _start_server(programs: Path, folder: Path) -> subprocess.Popen[bytes]:
    """The server as a child of ours, under a user that is not root, which PostgreSQL refuses."""
    user = "nobody" if os.getuid() == 0 else None
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    data = folder / "data"
    init = [programs / "initdb", "-D", data, "-U", "flyball", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run(init, user=user, cwd=folder, check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": folder,
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": 100,
        "shared_buffers": "32MB",
    }
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        command = [
            "setpriv",
            "--pdeathsig",
            "INT",
            programs / "postgres",
            "-D",
            data,
            *flags,
        ]  # ends with us, even killed
        return subprocess.Popen(command, user=user, cwd=folder, stderr=log)


def _wait_for_port(server: subprocess.Popen[bytes], folder: Path) -> int:
    """The port, once the server says in its pid file that it is ready."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        pid_file = folder / "data" / "postmaster.pid"
        lines = pid_file.read_text().splitlines() if pid_file.exists() else []
        if len(lines) >= 8 and lines[7].strip() == "ready":
            return int(lines[3])
        time.sleep(0.05)
    raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()}")


def _emptied(server: str) -> str:
    """The one database that tests share in turn: emptied, or made anew when a test changed its tables."""
    with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'flyball'")
        try:
            with psycopg.connect(f"{server}/flyball") as database:
                if database.execute("SELECT version_num FROM alembic_version").fetchone() == (schema.HEAD,):
                    database.execute(f"TRUNCATE {', '.join(tables.metadata.tables)} RESTART IDENTITY")
                    return f"{server}/flyball"
        except psycopg.Error:
            pass  # the first test, or a table is missing
        admin.execute("DROP DATABASE IF EXISTS flyball WITH (FORCE)")
        admin.execute("CREATE DATABASE flyball")
    open_ledger(f"{server}/flyball", project=PROJECT).close()
    return f"{server}/flyball"
