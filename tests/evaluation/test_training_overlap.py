"""A report says which cases of own suites are in the rows that the release was trained on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from chat_server import chat_server
from flyball.data.rows import Row, RowWriter
from flyball.evaluation.config import EvaluateConfig
from flyball.evaluation.evaluation_run import evaluate
from flyball.evaluation.reports.files import ReportDocument, read_report
from flyball.inference.completions import HttpCompleter
from flyball.records import DatasetVersion, name_of
from flyball.records.record_files import write_document
from held_out_rows import write_test_split
from tiny_gguf import tiny_release

RELEASE = dataclasses.replace(tiny_release(), input_redaction="default")
DATASET = DatasetVersion(
    project="shop",
    task="classification",
    settings="s",
    parents=(),
    sources=(),
    splits=(),
    labels=("a", "b"),
    rows_in=6,
    dropped={},
    changed={},
    redaction="default",
)


def write_rows(folder: Path, split: str, texts: list[str], turns: str | None = None) -> None:
    with RowWriter(folder / f"{split}.parquet", Row) as writer:
        for at, text in enumerate(texts, 1):
            writer.write(
                Row(
                    row_id=f"{split[0].encode()[0]:x}{at:062x}",
                    text=text,
                    label="a",
                    subject=None,
                    group=str(at),
                    source="tickets",
                    line=at,
                    steps=(),
                    turns=turns,
                )
            )


def evaluated(tmp_path: Path, cases: list[str], *, here: bool = True, trained: bool = True) -> ReportDocument:
    folder = write_test_split(tmp_path / "dataset", [("held out", "a"), ("kept apart", "b")])
    write_rows(folder, "train", ["Where is my card?", "write to <EMAIL> at once", "held out"])
    write_rows(folder, "validation", ["a row of the validation side"])
    write_document(folder / "record.json", DATASET)
    lines = [json.dumps({"text": text, "label": "ab"[at % 2]}) for at, text in enumerate(cases)]
    (tmp_path / "cases.jsonl").write_text("\n".join(lines))
    with chat_server(lambda _text, _number: "a") as server:
        evaluate(
            EvaluateConfig(suites=("test", "cases.jsonl")),
            project="shop",
            task="classification",
            release=RELEASE,
            release_name=name_of(RELEASE),
            dataset=None,
            dataset_dir=folder,
            root=tmp_path,
            completer=HttpCompleter(server.url, release=None, model="m", api_key=None, timeout_s=5.0),
            engine="test server",
            out=tmp_path / "evaluation",
            trained_on=(name_of(DATASET) if here else "e" * 64) if trained else None,
        )
    return read_report(tmp_path / "evaluation" / "report.json")


def test_cases_that_are_training_rows_are_counted_and_named(tmp_path: Path) -> None:
    cases = ["where is my card", "something new", "write to ann@example.com at once", "A row of the validation side!"]
    document = evaluated(tmp_path, cases)
    (found,) = document.report.overlaps or ()
    assert (found.suite, found.cases, found.equal, found.passage, found.near) == ("cases", 4, 3, 0, 0)
    assert {case.kind for case in document.details.leaked} == {"equal"}
    assert any(
        note.startswith("cases: 3 of 4 cases (75.0%) are in the training rows") for note in document.details.notes
    )
    assert "are in the training rows" in (tmp_path / "evaluation" / "report.html").read_text()
    assert "where is my card" not in json.dumps([case.kind + case.case for case in document.details.leaked])


def test_a_suite_without_leaks_says_so_in_figures_alone(tmp_path: Path) -> None:
    document = evaluated(tmp_path, ["something new", "nothing that is known"])
    (found,) = document.report.overlaps or ()
    assert (found.cases, found.equal + found.passage + found.near) == (2, 0)
    assert not any("training rows" in note for note in document.details.notes)


def test_rows_that_are_not_here_are_told_and_a_model_of_others_is_compared_with_none(tmp_path: Path) -> None:
    document = evaluated(tmp_path, ["where is my card", "other"], here=False)
    assert document.report.overlaps is None
    assert any(
        "not compared with the training rows: dataset eeeeeeeeeeee is not here" in note
        for note in document.details.notes
    )
    (tmp_path / "more").mkdir()
    assert evaluated(tmp_path / "more", ["where is my card", "other"], trained=False).report.overlaps is None
