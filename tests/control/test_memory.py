"""A control process that runs for weeks holds no more than it needs."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import text

from flyball.storage.connections import connect

SCRIPT = """
import threading, psutil
from flyball.control.loop import give_back_memory

kept = []

def work():
    rows = [bytes(2000) for _ in range(30_000)]  # 60 MB in small pieces
    kept.append(rows[-1])  # the last one pins them all

thread = threading.Thread(target=work)
thread.start()
thread.join()
before = psutil.Process().memory_info().rss
give_back_memory()
print(before - psutil.Process().memory_info().rss)
"""


def test_what_work_left_free_is_returned_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) > 50_000_000


def test_connections_do_not_take_turns(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'ledger.db'}")
    with ThreadPoolExecutor(3) as pool:  # three at once, so that the pool has three
        held = list(pool.map(lambda _: engine.connect(), range(3)))
    for connection in held:
        connection.close()
    used = set()
    for _ in range(6):
        with engine.connect() as connection:
            used.add(id(connection.connection.dbapi_connection))
            connection.execute(text("select 1"))
    engine.dispose()
    assert len(used) == 1
