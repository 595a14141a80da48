"""The kept keyring: sealed, whole, private, and never older than it was."""

from __future__ import annotations

import stat
import threading
import time
from pathlib import Path

import pytest

from flyball.errors import CorruptionError
from flyball.security.keyring_file import keep, kept
from flyball.security.keys import ProjectKey
from flyball.security.principals import Keyring, create_key, load_keyring, revoke_key
from flyball.security.teams import set_team
from flyball.storage.ledger import Ledger

KEY = ProjectKey(b"k" * 32)


def test_what_was_kept_comes_back_with_teams_routes_revocations_and_expiry(ledger: Ledger, tmp_path: Path) -> None:
    set_team(ledger, "support", {"concurrency": 2})
    _, good = create_key(ledger, name="good", team="support", routes=("a",), budget_usd=0.5)
    gone, revoked = create_key(ledger, name="gone")
    _, short = create_key(ledger, name="short", expires_ms=time.time_ns() // 1_000_000 + 300)
    revoke_key(ledger, gone.id)
    now = load_keyring(ledger)
    keep(tmp_path / "keyring", now, KEY, project="shop", at_ms=7)
    found = kept(tmp_path / "keyring", KEY, project="shop")
    assert found is not None
    keyring, at_ms = found
    assert at_ms == 7 and keyring.entries == now.entries
    assert keyring.find(good) == now.find(good) is not None
    assert keyring.find(revoked) is None
    time.sleep(0.4)
    assert keyring.find(short) is None


def test_the_file_is_private_and_holds_nothing_readable(ledger: Ledger, tmp_path: Path) -> None:
    _, secret = create_key(ledger, name="a-name-that-would-be-seen")
    path = tmp_path / "run" / "keyring"
    keep(path, load_keyring(ledger), KEY, project="shop", at_ms=7)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    data = path.read_bytes()
    assert b"would-be-seen" not in data and secret.encode() not in data


@pytest.mark.parametrize("wrong", ["another key", "another project", "a changed byte", "nonsense"])
def test_a_keyring_that_was_not_sealed_here_is_refused(ledger: Ledger, tmp_path: Path, wrong: str) -> None:
    create_key(ledger, name="bot")
    path, keyring = tmp_path / "keyring", load_keyring(ledger)
    key = ProjectKey(b"x" * 32) if wrong == "another key" else KEY
    keep(path, keyring, key, project="other" if wrong == "another project" else "shop", at_ms=7)
    if wrong == "a changed byte":
        data = bytearray(path.read_bytes())
        data[40] ^= 1
        path.write_bytes(data)
    elif wrong == "nonsense":
        path.write_bytes(b"[]")
    with pytest.raises(CorruptionError, match="not sealed with this project's key"):
        kept(path, KEY, project="shop")
    keep(path, keyring, KEY, project="shop", at_ms=8)
    assert kept(path, KEY, project="shop") is not None, "what is not ours is replaced"


def test_no_file_is_no_keyring(tmp_path: Path) -> None:
    assert kept(tmp_path / "keyring", KEY, project="shop") is None


def test_of_many_writers_the_one_that_read_last_wins(ledger: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    before = load_keyring(ledger)
    create_key(ledger, name="bot")
    after = load_keyring(ledger)
    keep(path, after, KEY, project="shop", at_ms=1000)
    keep(path, before, KEY, project="shop", at_ms=999)

    def write(number: int) -> None:
        keep(path, Keyring(before.entries if number % 2 else after.entries), KEY, project="shop", at_ms=number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = kept(path, KEY, project="shop")
    assert found is not None and found[1] == 1000 and found[0].entries == after.entries
    assert [name.name for name in tmp_path.iterdir() if name.name.startswith(".keyring")] == []
