"""Objects and rows of backups: stored once, checked when read, and the same on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import func, select

from flyball.errors import CorruptionError, NotFoundError, RefusedError
from flyball.security.keys import ProjectKey
from flyball.storage import leases, schema, tables
from flyball.storage.backups import ledger_rows
from flyball.storage.backups.ledger_rows import check_empty, keep_rows, put_rows
from flyball.storage.backups.manifest import ids, read_manifest
from flyball.storage.backups.objects import Objects
from flyball.storage.backups.places import Folder, Place, open_place
from flyball.storage.connections import connect
from flyball.storage.ledger import Ledger, open_ledger
from flyball.workflows.backup import sealed_objects
from lineage_samples import chain
from traffic_samples import Traffic


def filled(ledger: Ledger, requests: int = 40) -> Traffic:
    traffic = Traffic(ledger)
    chain(ledger, "one")
    traffic.ask_many([f"where is order {number}" for number in range(requests)], user="C0001")
    leases.acquire(ledger, f"control:{ledger.project}", holder="a", ttl_s=5)
    return traffic


def sealed(place: Place) -> Objects:
    return sealed_objects(place, ProjectKey(b"k" * 32))


def rows(ledger: Ledger) -> dict[str, list[tuple[object, ...]]]:
    with ledger.read() as connection:
        return {
            each.name: [tuple(row) for row in connection.execute(select(each).order_by(*each.primary_key.columns))]
            for each in tables.metadata.sorted_tables
        }


def test_rows_come_back_as_they_were_into_either_database(ledger: Ledger, empty_url: str, tmp_path: Path) -> None:
    filled(ledger)
    objects = sealed(Folder(tmp_path / "place"))
    with ledger.read() as connection:
        kept, counts = keep_rows(connection, ledger, objects)
    back = open_ledger(empty_url, project=ledger.project)
    check_empty(back.engine)
    with back.begin() as connection:
        assert put_rows(connection, kept, sealed(Folder(tmp_path / "place"))) == counts
    assert counts["requests"] == 40 and counts["records"] and counts["edges"] and counts["leases"] == 1
    assert rows(back) == rows(ledger)
    Traffic(back).ask("is it here yet")  # sequences go on after what was restored
    with pytest.raises(RefusedError, match="has rows in"):
        check_empty(back.engine)
    back.close()


def test_another_project_of_the_same_database_stays_out(ledger: Ledger, tmp_path: Path) -> None:
    filled(ledger)
    other = Ledger(ledger.engine, project="bakery")
    Traffic(other).ask("two loaves", user="B1")
    leases.acquire(other, "control:bakery", holder="b", ttl_s=5)
    with other.read() as connection:
        _, counts = keep_rows(connection, other, sealed(Folder(tmp_path)))
    assert {name: count for name, count in counts.items() if count} == {
        "leases": 1,
        "payloads": 1,
        "requests": 1,
        "subject_keys": 1,
    }


def test_a_second_backup_stores_the_chunks_that_changed(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_rows, "_MEAN_ROWS", 32)  # the last of 1,000 has over half of them once in 6 million
    traffic = filled(ledger, requests=1000)
    first = sealed(Folder(tmp_path))
    with ledger.read() as connection:
        keep_rows(connection, ledger, first)
    traffic.ask("one more")
    second = sealed(Folder(tmp_path))
    with ledger.read() as connection:
        keep_rows(connection, ledger, second)
    assert 0 < second.added_bytes < first.added_bytes / 2


def test_an_object_with_other_bytes_is_not_believed(tmp_path: Path) -> None:
    objects = sealed(Folder(tmp_path / "place"))
    (tmp_path / "weights").write_bytes(b"w" * (20 << 20))
    names, size = objects.keep_file(tmp_path / "weights")
    added = objects.added_bytes
    assert (len(names), size) == (2, 20 << 20) and objects.keep_file(tmp_path / "weights") == (names, size)
    assert objects.added_bytes == added and objects.is_same(names, tmp_path / "weights")
    first, second = (tmp_path / "place" / "objects" / name[:2] / name for name in names)
    assert b"wwwwwwww" not in second.read_bytes()
    second.write_bytes(first.read_bytes())  # a piece in the place of another
    with pytest.raises(CorruptionError, match=names[1][:12]):
        objects.read(names[1])
    with pytest.raises(CorruptionError, match=names[1][:12]):
        objects.fetch(names, tmp_path / "restored")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["place", "weights"]
    with pytest.raises(CorruptionError, match="another key"):
        sealed_objects(Folder(tmp_path / "place"), ProjectKey(b"o" * 32)).read(names[0])


def test_a_place_without_a_backup_says_so(tmp_path: Path) -> None:
    place = open_place(str(tmp_path))
    assert ids(place) == []
    with pytest.raises(NotFoundError, match="holds no backup"):
        read_manifest(place)


def test_a_store_behind_fsspec_holds_the_same_files(tmp_path: Path) -> None:
    place = open_place("memory://backups/shop")  # fsspec's own store in memory; S3 is in the long tests
    objects = sealed(place)
    name = objects.keep(b"rows")
    (tmp_path / "weights").write_bytes(b"weights")
    (other,), _ = objects.keep_file(tmp_path / "weights")
    again = sealed(place)
    assert again.known == {name, other} and again.read(name) == b"rows"
    again.fetch([other], tmp_path / "restored")
    assert (tmp_path / "restored").read_bytes() == b"weights"
    assert again.remove_others([name]) == 1 and sealed(place).known == {name}
    with pytest.raises(NotFoundError):
        place.read(f"objects/{other[:2]}/{other}")


def test_every_table_is_counted(ledger: Ledger, tmp_path: Path) -> None:
    """A table that is added later is in backups by itself, or left out by name."""
    with ledger.read() as connection:
        kept, counts = keep_rows(connection, ledger, sealed(Folder(tmp_path)))
        assert connection.execute(select(func.count()).select_from(tables.requests)).scalar_one() == 0
    assert set(kept) == set(counts) == set(tables.metadata.tables) - {"limit_workers"}


def test_a_filled_ledger_goes_one_version_back_and_forth_and_an_older_backup_is_restored(
    ledger: Ledger, empty_url: str, tmp_path: Path
) -> None:
    filled(ledger)
    before = rows(ledger)
    with ledger.engine.begin() as connection:
        command.downgrade(schema.alembic_config(connection), "-1")
        older = schema.current_version(connection)
    assert older is not None and older < schema.HEAD
    with ledger.read() as connection:
        kept, counts = keep_rows(connection, ledger, sealed(Folder(tmp_path)))
    schema.bring_up_to_date(ledger.engine)
    assert rows(ledger) == before
    engine = connect(empty_url)
    schema.bring_to(engine, older)
    with engine.begin() as connection:
        put_rows(connection, kept, sealed(Folder(tmp_path)))
        assert schema.current_version(connection) == older
    schema.bring_up_to_date(engine)
    back = Ledger(engine, project=ledger.project)
    assert rows(back) == before and counts["requests"] == 40
    back.close()
