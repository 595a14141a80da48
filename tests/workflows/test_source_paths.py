"""Sources stay in the project, and what DVC links to its cache is the file itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.errors import InputError
from flyball.settings import leaves_project, source_path
from flyball.workflows.init import brought_in

OBJECT = ".dvc/cache/files/md5/ab/" + "0" * 30


def test_a_link_into_dvcs_cache_is_the_file_itself_and_any_other_leads_elsewhere(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "shop"
    (root / OBJECT).parent.mkdir(parents=True)
    (root / OBJECT).write_text("{}")
    (root / "rows.jsonl").symlink_to(root / OBJECT)
    (tmp_path / "else.jsonl").write_text("{}")
    (root / "far.jsonl").symlink_to(tmp_path / "else.jsonl")
    assert source_path("rows.jsonl", root) == root / "rows.jsonl"
    assert source_path("far.jsonl", root) == tmp_path.resolve() / "else.jsonl"


@pytest.mark.parametrize(
    ("path", "outside"),
    [("rows.jsonl", False), ("../rows.jsonl", True), ("/etc/hosts", True), ("far.jsonl", True), ("${ROWS}", False)],
)
def test_what_leaves_the_project_is_known_but_a_variable_is_the_machines_own_choice(
    tmp_path: Path, path: str, outside: bool
) -> None:
    (tmp_path / "far.jsonl").symlink_to("/etc/hosts")
    assert leaves_project(path, tmp_path, {"ROWS": "/data/rows.jsonl"}) is outside


def test_links_in_a_circle_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="leads nowhere"):
        source_path("a/rows.jsonl", tmp_path)


def test_rows_from_elsewhere_are_copied_in_and_nothing_is_overwritten(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    root.mkdir()
    (tmp_path / "rows.jsonl").write_text("new")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("a")
    assert brought_in(root, tmp_path / "rows.jsonl")[0] == "rows.jsonl"
    assert brought_in(root, tmp_path / "texts")[0] == "texts"
    assert (root / "rows.jsonl").read_text() == "new" and (root / "texts/a.txt").is_file()
    (root / "rows.jsonl").write_text("mine")
    brought_in(root, tmp_path / "rows.jsonl")
    assert (root / "rows.jsonl").read_text() == "mine"
    assert brought_in(root, root / "rows.jsonl") == ("rows.jsonl", ())
