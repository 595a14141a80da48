"""`flyball backup` while the project serves, and `flyball restore` of all that was acknowledged; erasures hold."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from flyball.compliance.byte_search import search
from flyball.security.keys import create_project_key
from refusals import refused
from small_shop import FLYBALL, eventually, ok, ok_lines, serving

PERSON = "C00001"
REFUSED = 3


def ask(gateway: str, text: str = "where is my parcel?", user: str = PERSON) -> str:
    """One request; its id."""
    body = {"model": "shop", "user": user, "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(
        f"{gateway}/v1/chat/completions", data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.headers["x-flyball-request-id"])


@pytest.fixture
def key(shop: Path, tmp_path: Path) -> Path:
    """The project's key as a person keeps it: apart."""
    return shutil.copy(shop / ".flyball/keys/project.key", tmp_path / "kept.key")


def asked(root: Path) -> set[str]:
    return {row["id"] for row in ok_lines("requests", "--limit", "1000", cwd=root)}


def test_what_was_acknowledged_before_a_backup_under_load_is_restored_and_serves(
    shop: Path, key: Path, tmp_path: Path
) -> None:
    place, new = tmp_path / "backups", tmp_path / "new"
    acknowledged: list[str] = []
    over = threading.Event()
    with serving(shop) as urls:
        eventually(lambda: ok("status", cwd=shop)["live"].get("shop"))

        def load() -> None:
            while not over.is_set():
                acknowledged.append(ask(urls["gateway"], user=f"C{len(acknowledged) % 7}"))

        thread = threading.Thread(target=load)
        thread.start()
        eventually(lambda: len(acknowledged) > 20)
        before = list(acknowledged)
        made = ok("backup", str(place), cwd=shop)
        again = ok("backup", str(place), "--keep", "1", cwd=shop)
        over.set()
        thread.join()
    assert again["added_bytes"] < made["size_bytes"] / 2 and again["removed_backups"] == 1
    assert made["left_out"] == [".flyball/keys/project.key"]
    assert not search([place], [key.read_text().strip()])
    assert [row["id"] for row in ok_lines("restore", str(place), "--list", cwd=tmp_path)] == [again["id"]]
    shutil.rmtree(shop)
    back = ok("restore", str(place), "--into", str(new), "--key", str(key), cwd=tmp_path)
    assert (back["id"], back["erased_again"], back["kept"]) == (again["id"], 0, [])
    with serving(new) as urls:
        eventually(lambda: ok("status", cwd=new)["live"].get("shop"))
        newest = ask(urls["gateway"])
        eventually(lambda: {newest, *before} <= asked(new))
        assert ok("lineage", before[0], cwd=new)["dataset"]
    ok("audit", "--verify", cwd=new)


def test_who_was_erased_since_is_erased_again(shop: Path, key: Path, tmp_path: Path) -> None:
    place, new = tmp_path / "backups", tmp_path / "new"
    with serving(shop) as urls:
        eventually(lambda: ok("status", cwd=shop)["live"].get("shop"))
        ids = {ask(urls["gateway"], text=f"my parcel {PERSON}x{number} is lost") for number in range(3)}
        eventually(lambda: ids <= asked(shop))
    ok("backup", str(place), cwd=shop)
    receipt = ok("subject", "erase", PERSON, cwd=shop)
    assert receipt["removed"]["traffic"]["payloads"] == 3
    assert list((place / "tombstones").iterdir()) and not search([place / "tombstones"], [PERSON])
    back = ok("restore", str(place), "--into", str(new), "--key", str(key), cwd=tmp_path)
    assert back["erased_again"] == 1
    assert ok("subject", "erase", PERSON, cwd=new)["removed"]["traffic"]["payloads"] == 3  # its receipt
    held = ok("subject", "export", PERSON, cwd=new)
    assert not held.get("requests") or all(not one.get("texts") for one in held["requests"])


def test_a_killed_restore_goes_on_and_a_filled_folder_is_refused(shop: Path, key: Path, tmp_path: Path) -> None:
    place, new = tmp_path / "backups", tmp_path / "new"
    ok("backup", str(place), cwd=shop)
    command = [*FLYBALL, "restore", str(place), "--into", str(new), "--key", str(key), "--json"]
    for seconds in (0.4, 0.7, 1.0):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    if not (new / ".flyball/restoring.json").exists():
        shutil.rmtree(new, ignore_errors=True)
    back: Any = ok("restore", str(place), "--into", str(new), "--key", str(key), cwd=tmp_path)
    assert (
        back["records"]
        == ok("restore", str(place), "--into", str(tmp_path / "b"), "--key", str(key), cwd=tmp_path)["records"]
    )
    assert not (new / ".flyball/restoring.json").exists()
    said = refused("restore", str(place), "--into", str(new), "--key", str(key), cwd=tmp_path, code=REFUSED)
    assert "state already" in said


def test_wrong_key_damaged_object_and_place_inside_are_refused(shop: Path, key: Path, tmp_path: Path) -> None:
    place = tmp_path / "backups"
    ok("backup", str(place), cwd=shop)
    assert "no backup holds it" in refused("restore", str(place), "--into", "a", cwd=tmp_path, code=5)
    create_project_key(tmp_path / "other.key")
    wrong = refused("restore", str(place), "--into", "b", "--key", "other.key", cwd=tmp_path, code=2)
    assert "not the key of that project" in wrong
    assert "inside the project" in refused("backup", "backups", cwd=shop, code=2)
    assert "no store is known" in refused("backup", "gopher://x", cwd=shop, code=2)
    files = [path for path in (place / "objects").rglob("*") if path.is_file()]
    weights = max(files, key=lambda path: path.stat().st_size)
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert weights.name[:12] in refused("restore", str(place), "--into", "c", "--key", str(key), cwd=tmp_path, code=5)


def test_a_list_that_nobody_can_read_stops_no_later_backup(shop: Path, tmp_path: Path) -> None:
    place = tmp_path / "backups"
    ok("backup", str(place), cwd=shop)
    (torn,) = (place / "backups").iterdir()
    torn.write_bytes(torn.read_bytes()[:100])
    (shop / "my key.pem").write_text("a secret")
    with (shop / "flyball.yaml").open("a") as file:
        file.write('notices: {to: [{kind: slack, name: team, url: "file:my key.pem"}]}\n')
    made = ok("backup", str(place), "--keep", "1", cwd=shop)
    assert made["removed_backups"] == 1 and "my key.pem" in made["left_out"]
    assert [row["id"] for row in ok_lines("restore", str(place), "--list", cwd=tmp_path)] == [made["id"]]
