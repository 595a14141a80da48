"""The artefact store: whole or not at all, and every byte as its hash says."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from flyball.errors import CorruptionError, InputError, NotFoundError
from flyball.records import FileRef
from flyball.storage.artifacts import ArtifactStore, file_refs

NAME = "f" * 64


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "model.gguf").write_bytes(b"weights" * 1000)
    (folder / "deep" / "config.json").write_text("{}")
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def test_files_are_named_sized_and_hashed_in_one_order(model: Path) -> None:
    refs = file_refs(model)
    assert [(ref.path, ref.size_bytes) for ref in refs] == [("deep/config.json", 2), ("empty", 0), ("model.gguf", 7000)]
    assert refs[1].sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_what_was_put_is_there_whole(store: ArtifactStore, model: Path) -> None:
    path = store.put(NAME, model, file_refs(model))
    assert path == store.path(NAME)
    assert file_refs(path) == file_refs(model)
    assert store.names() == [NAME]
    store.verify(NAME, file_refs(model))


def test_putting_again_changes_nothing_even_when_the_source_is_gone(store: ArtifactStore, model: Path) -> None:
    refs = file_refs(model)
    first = store.put(NAME, model, refs)
    assert store.put(NAME, model.parent / "gone", refs) == first


def test_only_the_files_of_the_record_come_along(store: ArtifactStore, model: Path) -> None:
    refs = file_refs(model)[:1]
    assert file_refs(store.put(NAME, model, refs)) == refs


def test_an_artefact_outlives_the_folder_it_came_from(store: ArtifactStore, model: Path) -> None:
    refs = file_refs(model)
    store.put(NAME, model, refs)
    for ref in refs:
        (model / ref.path).unlink()
    store.verify(NAME, refs)
    assert file_refs(store.path(NAME)) == refs


def test_a_link_into_a_cache_is_followed(store: ArtifactStore, model: Path, tmp_path: Path) -> None:
    refs = file_refs(model)
    cached = tmp_path / "cached"
    (model / "model.gguf").rename(cached)
    (model / "model.gguf").symlink_to(cached)
    path = store.put(NAME, model, refs) / "model.gguf"
    assert path.read_bytes() == b"weights" * 1000 and not path.is_symlink()


@pytest.mark.parametrize("change", ["flip", "cut", "remove"])
def test_a_changed_file_is_named(store: ArtifactStore, model: Path, change: str) -> None:
    refs = file_refs(model)
    path = store.put(NAME, model, refs) / "model.gguf"
    body = bytearray(path.read_bytes())
    path.unlink()
    if change == "flip":
        body[3500] ^= 1
        path.write_bytes(body)
    if change == "cut":
        path.write_bytes(body[:-1])
    with pytest.raises(CorruptionError, match=rf"model\.gguf of artefact {NAME}"):
        store.verify(NAME, refs)


def test_files_that_are_not_what_the_record_says_do_not_enter(store: ArtifactStore, model: Path) -> None:
    refs = file_refs(model)
    wrong = (*refs[:-1], replace(refs[-1], sha256="0" * 64))
    with pytest.raises(CorruptionError, match=r"model\.gguf"):
        store.put(NAME, model, wrong)
    assert store.names() == [] and list(store.root.iterdir()) == []


def test_a_missing_file_is_named_and_nothing_stays(store: ArtifactStore, model: Path) -> None:
    refs = file_refs(model)
    (model / "empty").unlink()
    with pytest.raises(NotFoundError, match="empty"):
        store.put(NAME, model, refs)
    assert list(store.root.iterdir()) == []


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../outside"])
def test_a_path_that_leads_out_is_refused(store: ArtifactStore, model: Path, path: str) -> None:
    with pytest.raises(InputError, match="leads out"):
        store.put(NAME, model, (FileRef(path=path, size_bytes=0, sha256="0" * 64),))


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".incoming-x"])
def test_a_name_that_is_none_is_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(InputError, match="not a name of an artefact"):
        store.path(name)


def test_what_is_not_there_says_how_to_get_it(store: ArtifactStore) -> None:
    assert store.names() == []
    with pytest.raises(NotFoundError, match=r"(?s)no artefact.*flyball package"):
        store.path(NAME)


def test_deleting_removes_it_and_deleting_nothing_is_fine(store: ArtifactStore, model: Path) -> None:
    store.put(NAME, model, file_refs(model))
    store.delete(NAME)
    store.delete(NAME)
    assert store.names() == [] and list(store.root.iterdir()) == []


def test_many_may_put_the_same_artefact_at_once(store: ArtifactStore, model: Path) -> None:
    refs, failed = file_refs(model), []

    def put() -> None:
        try:
            store.put(NAME, model, refs)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == [] and list(store.root.iterdir()) == [store.root / NAME]
    store.verify(NAME, refs)


def test_what_a_killed_process_left_is_swept_a_day_later(store: ArtifactStore, model: Path) -> None:
    old, young = store.root / ".incoming-old", store.root / ".incoming-young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 90_000,) * 2)
    store.put(NAME, model, file_refs(model))
    assert not old.exists() and young.exists() and store.names() == [NAME]


_PUT = """
import os, sys
from pathlib import Path
from flyball.storage.artifacts import ArtifactStore, file_refs

left = int(sys.argv[3])

def watch(event, _arguments):
    global left
    if event in ("os.rename", "os.link", "os.mkdir", "open", "os.remove", "os.rmdir", "os.chmod", "tempfile.mkdtemp"):
        left -= 1
        if left == 0:
            os._exit(9)

store, folder = ArtifactStore(Path(sys.argv[1])), Path(sys.argv[2])
files = file_refs(folder)
sys.addaudithook(watch)
store.put("f" * 64, folder, files)
"""


def test_killed_before_any_step_of_it_a_name_is_whole_or_not_there(
    store: ArtifactStore, model: Path, tmp_path: Path
) -> None:
    (model / "model.gguf").write_bytes(b"weights" * 20_000)
    refs = file_refs(model)
    store.put("a" * 64, model, refs)
    ended, step = 9, 0
    while ended == 9:
        step += 1
        command = [sys.executable, "-c", _PUT, str(store.root), str(model), str(step)]
        ended = subprocess.run(command, timeout=30).returncode
        if store.names() == ["a" * 64, NAME]:
            store.verify(NAME, refs)
            store.delete(NAME)
    assert ended == 0 and step > 10
    store.put(NAME, model, refs)
    store.verify(NAME, refs)
