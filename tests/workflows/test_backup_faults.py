"""Backups that are killed, raced by an erasure, or of files with strange names: nobody comes back, nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flyball.compliance.tombstones import keep_tombstone
from flyball.errors import InputError
from flyball.security import audit
from flyball.settings import load_settings
from flyball.storage.backups.places import Folder
from flyball.wiring import Project
from flyball.workflows import backup as backups
from flyball.workflows.backup import back_up, leave_word, places_of
from flyball.workflows.erase import erase_subject
from flyball.workflows.restore import restore
from small_shop import ok
from traffic_samples import Traffic

PERSON = "C00001"


def quiet(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    ok("init", "shop", cwd=folder)
    return folder / "shop"


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Any:
    import shutil

    root = tmp_path / "shop"
    shutil.copytree(made, root)
    found = Project(root=root, settings=load_settings(root))
    yield found
    found.close()


def restored(project: Project, place: Path, target: Path) -> dict[str, Any]:
    key = project.places.state / "keys/project.key"
    return restore(str(place), target, key=key, say=quiet, progress=quiet)


def test_a_place_is_known_before_its_first_backup_is_over(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(backups, "_prune", killed)
        with pytest.raises(KeyboardInterrupt):
            back_up(project, str(place), keep=1, progress=quiet)
    assert places_of(project) == [str(place)]
    erase_subject(project, PERSON, say=quiet)
    assert restored(project, place, tmp_path / "new")["erased_again"] == 1
    with_places = Project(root=tmp_path / "new", settings=load_settings(tmp_path / "new"))
    assert places_of(with_places) == [str(place)]  # its own erasures leave word there too
    with_places.close()


def test_pruning_keeps_the_tombstone_of_an_erasure_that_ended_after_the_backup_began(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    Traffic(project.ledger).ask("where is my parcel", user=PERSON)
    snapshots = backups._snapshots

    def erased_after(*arguments: Any) -> Any:
        erase_subject(project, PERSON, say=quiet)
        return snapshots(*arguments)

    stone = backups.now_ms() - 60_000  # the erasure was asked for before the backup began
    monkeypatch.setattr("flyball.compliance.tombstones.now_ms", lambda: stone)
    with monkeypatch.context() as patched:
        patched.setattr(backups, "_snapshots", erased_after)
        back_up(project, str(place), keep=1, progress=quiet)
    assert restored(project, place, tmp_path / "new")["erased_again"] == 1
    back_up(project, str(place), keep=1, progress=quiet)  # holds nobody who was erased
    assert not Folder(place).names("tombstones")


def test_a_restore_killed_while_it_erases_again_goes_on(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, new = tmp_path / "place", tmp_path / "new"
    Traffic(project.ledger).ask("where is my parcel", user=PERSON)
    back_up(project, str(place), progress=quiet)
    keep_tombstone(project.places.state, project.key, PERSON)
    leave_word(project, quiet)

    def killed(broken: Project, *_: object, **__: object) -> None:
        audit.record(broken.ledger, actor="local", action="erase", subject="somebody", details={})
        (broken.places.loop / "suppressions.json").unlink(missing_ok=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("flyball.workflows.restore.erase_subject", killed)
        with pytest.raises(KeyboardInterrupt):
            restored(project, place, new)
    assert restored(project, place, new)["erased_again"] == 1
    assert not (new / ".flyball/restoring.json").exists()


def test_a_file_with_the_longest_name_comes_back(project: Project, tmp_path: Path) -> None:
    name = "ü" * 127
    (project.root / "loop" / name).write_text("kept", encoding="utf-8")
    back_up(project, str(tmp_path / "place"), progress=quiet)
    restored(project, tmp_path / "place", tmp_path / "new")
    assert (tmp_path / "new/loop" / name).read_text(encoding="utf-8") == "kept"


def test_a_name_that_is_not_utf_8_is_named(project: Project, tmp_path: Path) -> None:
    (project.root / "loop" / b"bad\xff".decode("utf-8", "surrogateescape")).write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="not UTF-8"):
        back_up(project, str(tmp_path / "place"), progress=quiet)
