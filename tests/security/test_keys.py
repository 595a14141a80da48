"""The project key: one secret, many uses, none of which can stand in for another."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import EnvironmentMissing, InputError
from flyball.records.identity import keyed_hash
from flyball.security.keys import (
    ProjectKey,
    create_project_key,
    format_project_key,
    parse_project_key,
    verify_signature,
)

KEY = ProjectKey(bytes(range(32)))
raws = st.binary(min_size=32, max_size=32)


def test_a_fresh_key_is_for_its_owner_only_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "project.key"
    first = create_project_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert create_project_key(path) == first == parse_project_key(path.read_text())
    assert list(path.parent.iterdir()) == [path]


def test_of_many_who_create_a_key_at_once_all_get_the_same(tmp_path: Path) -> None:
    keys: list[ProjectKey] = []
    threads = [threading.Thread(target=lambda: keys.append(create_project_key(tmp_path / "k"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8 and len({key.raw for key in keys}) == 1


def test_a_damaged_key_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "project.key"
    path.write_text("half a k")
    with pytest.raises(InputError, match="not a project key"):
        create_project_key(path)
    assert path.read_text() == "half a k"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentMissing, match="cannot write the project key"):
        create_project_key(tmp_path / "file" / "project.key")


@given(raws)
def test_a_key_survives_being_written_as_text(raw: bytes) -> None:
    assert parse_project_key(f"  {format_project_key(ProjectKey(raw))}\n").raw == raw


@given(st.text())
def test_other_texts_are_no_keys_and_are_never_shown(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_project_key("secret" + text)
    assert "secret" not in str(caught.value)


def test_a_key_does_not_show_itself() -> None:
    assert repr(KEY) == "ProjectKey()"


def test_each_use_has_a_key_of_its_own() -> None:
    assert len({KEY.raw, KEY.mac_key, KEY.row_key, KEY.seal_key, bytes.fromhex(KEY.public_key)}) == 5


def test_derived_keys_stay_the_same_for_ever() -> None:
    """Another derivation would make every sealed payload and keyed hash of an installation unreadable."""
    assert KEY.row_key.hex() == "1730a1c8ba15ae3931059ca53389862409bd8387f59eaaa1d6fb2ae9ea071082"
    assert KEY.public_key == "3cc70edcd19afaf05ca892cb6590d3ba212b4f7de0fb80a182305096540a54a9"


@given(st.text(), st.text())
def test_people_have_the_same_name_in_traffic_and_in_data(purpose: str, value: str) -> None:
    assert KEY.hash(purpose, value) == keyed_hash(KEY.row_key, purpose, value)


@given(raws, st.binary(), st.data())
def test_a_signature_holds_for_exactly_its_bytes_and_key(raw: bytes, data: bytes, draw: st.DataObject) -> None:
    key = ProjectKey(raw)
    signature = key.sign(data)
    assert key.verify(data, signature) and verify_signature(key.public_key, data, signature)
    assert not key.verify(data + b"x", signature)
    assert not ProjectKey(bytes(32) if any(raw) else b"1" * 32).verify(data, signature)
    bit = draw.draw(st.integers(0, 511))
    flipped = bytearray.fromhex(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not key.verify(data, flipped.hex())


@pytest.mark.parametrize("signature", ["", "zz", "00", "0" * 128])
def test_what_is_no_signature_is_simply_not_one(signature: str) -> None:
    assert not KEY.verify(b"data", signature)


def test_naming_people_does_not_load_openssl() -> None:
    code = "import sys; from flyball.security.keys import ProjectKey; ProjectKey(bytes(32)).hash('a', 'b'); "
    code += "print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
