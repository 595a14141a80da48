"""`flyball suite`: families by name, and one suite as it is read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from flyball.cli.main import run
from flyball.records.record_files import write_document
from small_models import make_row, write_dataset


def test_the_list_names_each_family_once(capsys: pytest.CaptureFixture[str]) -> None:
    from flyball.evaluation.suites.catalog import FAMILIES

    assert run(["suite", "list", "--json"]) == 0
    rows = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["family"] for row in rows] == sorted(FAMILIES)


def test_a_suite_is_shown_as_it_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text('{"text": "one", "label": "a"}\n{"text": "two", "label": "b"}\n{"text": "two", "label": "b"}\n')
    assert run(["suite", "show", str(path), "--json"]) == 0
    shown = msgspec.json.decode(capsys.readouterr().out)
    assert (shown["cases"], shown["with_expected"], shown["first_asks"]) == (2, 2, "one")
    assert "1 of 3 rows repeat" in shown["notes"]


def test_a_missing_suite_ends_with_4(tmp_path: Path) -> None:
    assert run(["suite", "show", str(tmp_path / "none.jsonl")]) == 4


def labelled(path: Path, count: int) -> Path:
    lines = [
        f"question {row} of {'money' if row % 2 else 'parcels'},{'refund' if row % 2 else 'delivery'}"
        for row in range(count)
    ]
    path.write_text("\n".join(["text,label", *lines]))
    return path


def test_a_first_suite_says_what_its_rows_can_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["suite", "from", str(labelled(tmp_path / "rows.csv", 100)), "--name", "first", "--json"]) == 0
    made = msgspec.json.decode(capsys.readouterr().out)
    assert made["gate"]["measure"] == "exact_match" and made["gate"]["n"] == 100 and made["leaked"] == 0
    low, high = made["gate"]["interval"]
    assert low == pytest.approx(0.8363, abs=1e-3) and high == pytest.approx(0.9449, abs=1e-3)
    assert made["gate"]["at_least"] == 0.83 and made["gate"]["needed"]["0.85"] > 100
    assert "suite: first" in made["settings"] and any("not compared" in note for note in made["notes"])
    assert run(["suite", "show", "suites/first.jsonl", "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["cases"] == 100
    assert run(["suite", "from", "rows.csv", "--name", "first"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_rows_that_were_trained_on_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = labelled(tmp_path / "rows.csv", 60)
    (tmp_path / "flyball.yaml").write_text("version: 1\nproject: shop\ndata: {sources: [{path: rows.csv}]}\n")
    trained = [
        make_row(f"question {row} of {'money' if row % 2 else 'parcels'}", "refund", row + 1) for row in range(10)
    ]
    dataset = write_dataset(tmp_path / "loop/dataset", trained)
    write_document(tmp_path / "loop/dataset/record.json", dataset)
    assert run(["suite", "from", str(source), "--name", "fresh", "--json"]) == 0
    made = msgspec.json.decode(capsys.readouterr().out)
    assert made["leaked"] == 10 and made["gate"]["n"] == 50
    kept = (tmp_path / "suites/fresh.jsonl").read_text()
    assert "question 9 of" not in kept and "question 10 of" in kept


@pytest.mark.parametrize(
    "rows, name, said", [(19, "few", "at least 20"), (30, "test", "no name for a suite"), (30, "../up", "no name")]
)
def test_what_makes_no_suite_is_refused_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rows: int,
    name: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    labelled(tmp_path / "rows.csv", rows)
    assert run(["suite", "from", "rows.csv", "--name", name]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "suites").exists()


def test_objects_are_measured_by_their_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"text": f"Order {row} for Ann", "label": f'{{"order": {row}, "name": "Ann"}}'} for row in range(40)]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    assert run(["suite", "from", "rows.jsonl", "--name", "orders", "--json"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out)["gate"]["measure"] == "exact_fields"
