"""A person leaves sources, DVC's cache and the dataset; the receipt covers what was looked at again."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from flyball.compliance.byte_search import search_all
from flyball.compliance.subjects import Person, person_of
from flyball.data.config import Fields, SourceConfig
from flyball.data.rows import SPLITS, read_rejects, read_rows, subject_hash
from flyball.dvc import objects
from flyball.errors import RefusedError
from flyball.records import DatasetVersion, name_of
from flyball.records.record_files import read_document
from flyball.wiring import open_project
from flyball.workflows import erase
from flyball.workflows.erase import SourceEraser, erase_subject, row_ids
from flyball.workflows.lineage import lineage
from flyball.workflows.record_intake import keep_rows
from flyball.workflows.stage import run_stage
from small_shop import flyball, ok

THINGS, STATES = ("kettle", "tent", "lamp", "chair", "rug", "mug"), ("odd", "late", "red", "wet", "old")
OTHERS = [
    f"my {thing} is {state} again,{'ab'[(place + turn) % 2]},{5 * place + turn}"
    for place, thing in enumerate(THINGS)
    for turn, state in enumerate(STATES)
]
MINE = ['"I said ""hello"" to them",a,u7', "a second text of mine,b,u7", '"never closed by me,a,u7']
SETTINGS = """data:
  sources: [{path: rows.csv, fields: {text: text, label: label, subject: who}}]
  validate: {min_rows: MOST, min_rows_per_label: 1, max_dropped: 0.9}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after `flyball data`, in DVC's cache of which two contents of its source lie."""
    root = tmp_path_factory.mktemp("erasing") / "shop"
    assert flyball("init", str(root), cwd=root.parent).code == 0
    (root / "tickets.jsonl").unlink(missing_ok=True)
    settings = (root / "flyball.yaml").read_text()
    before, after = settings.split("data:\n")[0], settings[settings.index("train:\n") :]
    (root / "flyball.yaml").write_text(before + SETTINGS.replace("MOST", "31") + after)
    older = "\n".join(["text,label,who", *OTHERS, *MINE[:2], "x,b,p1"]) + "\n"
    stored(root / ".dvc/cache", older.encode())
    (root / "rows.csv").write_text("\n".join(["text,label,who", *OTHERS[:20], *MINE, *OTHERS[20:]]) + "\n")
    ok("data", cwd=root)
    return root


@pytest.fixture
def shop(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "shop", symlinks=True))


def texts_of(root: Path) -> str:
    """All that is stored of the source, as text."""
    files = [root / "rows.csv", *(path for path in (root / ".dvc/cache/files").rglob("*") if path.is_file())]
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files)


def report_page(root: Path, row: str) -> Path:
    """A report that shows a row's text: the id stands in report.json alone."""
    folder = root / ".flyball/reports/one"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(f'{{"id": "{row}"}}')
    (folder / "report.html").write_text("I said hello to them")
    return folder / "report.html"


def stored(cache: Path, content: bytes, *, suffix: str = "") -> str:
    """An object as DVC keeps it; its digest."""
    name = hashlib.md5(content).hexdigest()
    path = cache / "files/md5" / name[:2] / (name[2:] + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name + suffix


def stored_folder(cache: Path, files: dict[str, bytes]) -> str:
    entries = [{"md5": stored(cache, content), "relpath": name} for name, content in files.items()]
    return stored(cache, json.dumps(entries).encode(), suffix=".dir")


def test_folders_of_texts_and_pages_of_reports_are_found_in_the_cache(tmp_path: Path) -> None:
    row, other = "5" * 64, "6" * 64
    texts = {"u7/1.txt": b"by me", "p1/1.txt": b"by another"}
    shown = {"report.json": row.encode(), "report.html": b"by me", "items.jsonl": row.encode() + b" 1.0"}
    spared = {"report.json": other.encode(), "report.html": b"by another one"}
    stored_folder(tmp_path, {"p1/1.txt": b"alone"})
    gone = {stored_folder(tmp_path, texts), stored_folder(tmp_path, shown)}
    stored_folder(tmp_path, spared)
    gone |= {hashlib.md5(content).hexdigest() for content in (b"by me", row.encode())}
    source = SourceConfig(path="notes", fields=Fields(text="text", label=None, subject="folder"))
    person = Person(subject="u7", hash=subject_hash(b"k" * 32, "u7"))
    (tmp_path / "notes").mkdir()
    found = objects.naming_in(tmp_path, [(tmp_path / "notes", source)], person, row_key=b"k" * 32, rows=[row])
    assert {path.parent.name + path.name for path in found.paths} == gone


def test_a_short_name_leaves_every_store_also_where_a_rule_breaks_without_its_rows(shop: Path) -> None:
    assert texts_of(shop).count("second text of mine") == 3, "the source and two objects"
    said: list[str] = []
    project = open_project(shop)
    who = person_of(project.key, "u7")
    version, recorded = read_document(shop / "loop/dataset/record.json")
    assert isinstance(version, DatasetVersion)
    project.ledger.append(version, recorded=recorded)  # as `flyball run` does
    keep_rows(project, version, project.places.dataset)
    page = report_page(shop, row_ids(project, who)[0])
    receipt = erase_subject(project, "u7", say=said.append)
    assert "u7" not in texts_of(shop) and "text of mine" not in texts_of(shop)
    assert (shop / "rows.csv").read_text() == "\n".join(["text,label,who", *OTHERS]) + "\n"
    rows = [row for split in SPLITS for row in read_rows(shop / "loop/dataset", split)]
    assert len(rows) == len(OTHERS) and who.hash not in {row.subject for row in rows}
    assert not [reject for reject in read_rejects(shop / "loop/dataset") if "mine" in reject.detail]
    removed = receipt["removed"]
    assert receipt["found"] and removed["sources"]["rows"] == 3 and removed["sources"]["objects"] >= 2
    assert removed["datasets"] == {"rows": 2, "versions_needing_attention": 1}
    assert list(receipt["replaced"]) == [name_of(version)] and receipt["replaced"][name_of(version)]
    assert not page.exists() and removed["reports"]["pages"] == 2, "found before row indexes forget whose rows they are"
    assert "needs attention" in said[-1] and "min_rows" in said[-1]
    assert "min_rows" in flyball("data", cwd=shop).err, "the build still says what is wrong"
    assert erase_subject(project, "u7", say=said.append)["id"] == receipt["id"], "nothing is left to erase"
    project.close()


def test_a_name_that_is_not_there_touches_no_output_and_the_same_dataset_keeps_its_times(shop: Path) -> None:
    def loop() -> dict[str, bytes]:
        files = (path for path in (shop / "loop").rglob("*") if path.is_file())
        return {str(path): path.read_bytes() for path in files}

    before = loop()
    project = open_project(shop)
    receipt = erase_subject(project, "u70", say=print)
    assert receipt["found"] is False and loop() == before
    run_stage(project, "dataset", lambda *_: None)
    assert loop() == before, "an erasure that changes no row retrains nothing"
    project.close()


def test_a_name_in_a_column_of_nobody_removes_nothing_and_the_receipt_says_where_it_stays(shop: Path) -> None:
    others = [f"{line},\"['a140', 'a133']\"" if turn % 10 == 0 else f"{line},[]" for turn, line in enumerate(OTHERS)]
    (shop / "rows.csv").write_text("\n".join(["text,label,who,seen_by", *others, "by me too,a,u9,a133"]) + "\n")
    ok("data", cwd=shop)

    def everything() -> dict[str, bytes]:
        folders = [shop / "loop", shop / ".dvc/cache/files", shop / "rows.csv"]
        files = [path for top in folders for path in (top.rglob("*") if top.is_dir() else [top]) if path.is_file()]
        return {str(path): path.read_bytes() for path in files}

    before = everything()
    said = flyball("subject", "erase", "a140", "--json", cwd=shop)
    receipt = json.loads(said.out)
    assert (said.code, receipt["found"], receipt["removed"]["sources"]["objects"]) == (4, False, 0)
    assert receipt["mentioned"] == {"rows.csv": {"rows": 3, "lines": [2, 12, 22], "columns": ["seen_by"]}}
    assert receipt["removed"]["sources"]["objects_mentioning"] == 1 and everything() == before
    assert "seen_by" in said.err and "fields.subject" in said.err and "lines 2, 12, 22" in said.err
    assert ok("subject", "receipt", "a140", cwd=shop)["signature_holds"]

    partly = flyball("subject", "erase", "u9", "--json", cwd=shop)
    assert partly.code == 0 and json.loads(partly.out)["removed"]["sources"]["rows"] == 1, partly.err
    (shop / "rows.csv").write_text((shop / "rows.csv").read_text().replace("a140", "x"))
    again = json.loads(flyball("subject", "erase", "a140", "--json", cwd=shop).out)
    assert again["mentioned"] == {} and again["found"] is False, "the lines were edited: a new receipt"


@pytest.mark.parametrize("least", [5, 31])
def test_lineage_points_to_the_line_where_a_row_is_after_an_erasure_and_marks_erased_rows(
    shop: Path, least: int
) -> None:
    """With 31 rows at least the rest cannot be built: rows are taken out, and lines stay those that were read."""
    if least == 5:
        (shop / "flyball.yaml").write_text((shop / "flyball.yaml").read_text().replace("min_rows: 31", "min_rows: 5"))
        ok("data", cwd=shop)
    project = open_project(shop)
    version, recorded = read_document(shop / "loop/dataset/record.json")
    assert isinstance(version, DatasetVersion)
    project.ledger.append(version, recorded=recorded)
    keep_rows(project, version, project.places.dataset)
    rows = [row for split in SPLITS for row in read_rows(shop / "loop/dataset", split)]
    last = max(rows, key=lambda row: row.line)
    mine = next(row for row in rows if row.subject == person_of(project.key, "u7").hash)
    erase_subject(project, "u7", say=print)
    (found,) = lineage(project, last.row_id)["rows"]
    if least == 5:
        assert last.text in (shop / "rows.csv").read_text().splitlines()[found["line"] - 1]
        assert found["line"] == last.line - 3 and "source_changed" not in found
    else:
        assert found["line"] == last.line and found["source_changed"]
    assert lineage(project, mine.row_id)["rows"][0]["erased"]
    listed = {row["content_hash"]: row for row in lineage(project, name_of(version))["rows"]}
    assert listed.get(last.row_id, found) == found, "also back from a record; rows of the test side are not listed"
    assert listed.get(mine.row_id, {"erased": True})["erased"]
    project.close()


def test_there_is_no_receipt_while_a_row_of_the_person_is_left(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = open_project(shop)
    monkeypatch.setattr(erase, "rewrite_source", lambda *_, **__: 0)  # somebody writes it again meanwhile
    with pytest.raises(RefusedError, match=r"still in .*rows\.csv"):
        erase_subject(project, "u7", say=print)
    monkeypatch.undo()
    assert erase_subject(project, "u7", say=print)["removed"]["sources"]["rows"] == 3
    project.close()


def test_a_text_file_is_erased_by_removing_it_and_nothing_else_may_be_missing(tmp_path: Path) -> None:
    config = SourceConfig(path="a", fields=Fields(subject="file"))
    (tmp_path / "there.txt").touch()
    gone = {
        name: SourceEraser.was_removed(tmp_path / name, config) for name in ("a.txt", "a.TXT.gz", "a.csv", "there.txt")
    }
    assert gone == {"a.txt": True, "a.TXT.gz": True, "a.csv": False, "there.txt": False}


def test_an_object_that_cannot_be_unpacked_is_counted(shop: Path) -> None:
    (shop / ".dvc/cache/files/md5/ab").mkdir(exist_ok=True)
    (shop / ".dvc/cache/files/md5/ab" / ("0" * 30)).write_bytes(b"PK\x03\x04 no archive")
    project = open_project(shop)
    traces = SourceEraser(project, print).plan(person_of(project.key, "nobody"))
    assert traces.counts.pop("objects_searched") >= 4
    assert traces.counts == {"files": 0, "objects": 0, "objects_unread": 1}
    project.close()


def test_what_only_a_remote_has_is_counted_and_shared_objects_leave_it(shop: Path, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    (shop / ".dvc/config.local").write_text(f"['remote \"far\"']\n    url = {remote}\n")
    shutil.copytree(shop / ".dvc/cache/files", remote / "files")
    stored(remote, b"a colleague's content")
    project = open_project(shop)
    person = person_of(project.key, "u7")
    traces = SourceEraser(project, print).apply(person)
    assert traces.counts["rows"] == 3 and traces.counts["remote_objects_unread"] == 1
    assert "u7" not in "\n".join(path.read_text("utf-8", "replace") for path in remote.rglob("*") if path.is_file())
    project.close()


def test_a_source_that_cannot_be_read_keeps_nobody_in_the_other_stores_and_is_in_the_receipt(shop: Path) -> None:
    settings = (shop / "flyball.yaml").read_text()
    both = "sources: [{path: more.json, fields: {text: text, label: label, subject: who}}, {path: rows.csv"
    (shop / "flyball.yaml").write_text(settings.replace("sources: [{path: rows.csv", both))
    (shop / "more.json").write_text('[\n {"text": "mine too", "label": "a", "who": "u7"},\n {"text" oops\n]')
    first = flyball("subject", "erase", "u7", "--json", cwd=shop)
    receipt = json.loads(first.out)
    assert first.code == 3 and "more.json" in first.err and "line 3" in first.err and "incomplete" in first.err
    assert receipt["removed"]["sources"]["sources_unread"] == 1 and "u7" not in (shop / "rows.csv").read_text()
    assert flyball("subject", "erase", "u7", "--json", cwd=shop).code == 3
    (shop / "more.json").write_text(
        '[\n {"text": "mine too", "label": "a", "who": "u7"}, {"text": "b", "who": "p1"}\n]'
    )
    again = flyball("subject", "erase", "u7", "--json", cwd=shop)
    assert again.code == 0 and "sources_unread" not in json.loads(again.out)["removed"]["sources"], again.err
    assert "u7" not in (shop / "more.json").read_text() and "p1" in (shop / "more.json").read_text()


def test_objects_are_looked_into_once_and_a_short_number_takes_no_model_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spared = {
        stored(tmp_path, content)
        for content in (
            b"GGUF\0\1\2,1005,\n" * 9,
            b'{"model": {"vocab": {"1005": 7, "x":1005, "y": 1005}}}',
            b'[{"step": 1005, "loss": 10051005.0}]',
        )
    }
    gone = {stored(tmp_path, content) for content in (b"a,b\n1005,x\n", b'{"who":1005}', b'{"deep": {"who": "1005"}}')}
    source = SourceConfig(path="rows.jsonl", fields=Fields(text="text", label=None, subject="who"))
    person = Person(subject="1005", hash=subject_hash(b"k" * 32, "1005"))
    sources = [(tmp_path / "rows.jsonl", source)]
    clean: set[Path] = set()
    found = objects.naming_in(tmp_path, sources, person, row_key=b"k" * 32, clean=clean)
    assert {path.parent.name + path.name for path in found.paths} == gone and found.searched == 6
    assert {path.parent.name + path.name for path in clean} == spared
    monkeypatch.setattr(
        objects,
        "search_all",
        lambda paths, *_, **__: pytest.fail(str(paths)) if set(paths) & clean else search_all(paths, *_, **__),
    )
    again = objects.naming_in(tmp_path, sources, person, row_key=b"k" * 32, clean=clean)
    assert again.paths == found.paths
