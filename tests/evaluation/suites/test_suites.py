"""Suites come from rows or files, are named by their content, and say what is wrong with a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from flyball.errors import InputError, NotFoundError
from flyball.evaluation.suites.catalog import load_suite, load_suites
from held_out_rows import write_test_split

ROWS: list[tuple[str, str | None]] = [(f"please help with case number {k}", "ab"[k % 2]) for k in range(40)]


def test_the_held_out_rows_and_their_edits_are_suites(tmp_path: Path) -> None:
    folder = write_test_split(tmp_path, [*ROWS, ("no label", None)])
    test, invariance = load_suites(("test", "invariance"), dataset_dir=folder, root=tmp_path)
    assert (test.name, test.kind, len(test.items)) == ("test", "answer", 40)
    assert (invariance.kind, len(invariance.items)) == ("invariance", 40)
    assert all(item.original != item.messages and item.slice for item in invariance.items)
    assert len({item.slice for item in invariance.items}) >= 4


def test_a_suite_is_named_by_its_content(tmp_path: Path) -> None:
    first = load_suite("test", dataset_dir=write_test_split(tmp_path / "a", ROWS), root=tmp_path)
    same = load_suite("test", dataset_dir=write_test_split(tmp_path / "b", ROWS), root=tmp_path)
    other = load_suite("test", dataset_dir=write_test_split(tmp_path / "c", ROWS[1:]), root=tmp_path)
    assert first.reference() == same.reference()
    assert first.reference().fingerprint != other.reference().fingerprint


def test_a_sample_is_seeded_and_the_edits_are_of_the_sampled_rows(tmp_path: Path) -> None:
    folder = write_test_split(tmp_path, ROWS)
    suites = load_suites(("test", "invariance"), dataset_dir=folder, root=tmp_path, max_items=10)
    assert [len(suite.items) for suite in suites] == [10, 10]
    assert suites == load_suites(("test", "invariance"), dataset_dir=folder, root=tmp_path, max_items=10)
    assert {item.id for item in suites[0].items} == {item.id for item in suites[1].items}


def test_a_file_of_texts_or_of_conversations_is_a_suite(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(
        '{"text": "hi", "label": "greeting"}\n\n'
        '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "expected": "x"}\n'
        '{"text": "hi", "label": "greeting"}\n'
    )
    suite = load_suite("cases.jsonl", dataset_dir=None, root=tmp_path)
    assert (suite.name, [item.expected for item in suite.items]) == ("cases", ["greeting", "x"])
    assert [message.role for message in suite.items[1].messages] == ["system", "user"]
    (tmp_path / "packed.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert len(load_suite("packed.jsonl.gz", dataset_dir=None, root=tmp_path).items) == 2


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "truncated"),
        ('{"text": "a"}', "label"),
        ('{"text": 1, "label": "b"}', "text is not text"),
        ('{"text": "a", "label": null}', "label is missing"),
        ('{"text": "a", "label": {"b": 3}}', "label is neither text nor a number"),
        ('{"messages": [], "expected": "b"}', "must be the user's"),
        ('{"messages": [{"role": "robot", "content": "x"}], "expected": "b"}', "robot"),
        ("[1]", ""),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "fine", "label": "a"}\n' + line + "\n")
    with pytest.raises(InputError, match=r"bad\.jsonl:2") as mistake:
        load_suite("bad.jsonl", dataset_dir=None, root=tmp_path)
    assert what in mistake.value.message


def test_missing_empty_and_doubled_suites_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    for name, error in (("none.jsonl", NotFoundError), ("empty.jsonl", InputError), ("binary.jsonl", InputError)):
        with pytest.raises(error):
            load_suite(name, dataset_dir=None, root=tmp_path)
    with pytest.raises(InputError, match="needs a dataset"):
        load_suite("test", dataset_dir=None, root=tmp_path)
    folder = write_test_split(tmp_path / "d", ROWS)
    with pytest.raises(InputError, match="two suites"):
        load_suites(("test", "test"), dataset_dir=folder, root=tmp_path)
    with pytest.raises(InputError, match="no suites"):
        load_suites((), dataset_dir=folder, root=tmp_path)
