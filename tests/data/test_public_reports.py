"""Files that other tools are reported to read wrongly: each report's input, made small, becomes the right rows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flyball.data.config import Fields
from flyball.data.schema_inference import Guess, guess
from flyball.errors import InputError
from rows_on_disk import build, everything, rejects, write_lines

LABELS = ("billing", "refund", "lost")
WORDS = ("order", "parcel", "card", "account", "invoice", "charged", "stolen", "address", "cable", "shoe", "late")


def text(number: int) -> str:
    return " ".join(WORDS[(number * step + step) % 11] for step in (1, 3, 5, 7, 2)) + f" {number}"


def rows(count: int = 120) -> list[dict[str, Any]]:
    return [{"text": text(n), "label": LABELS[n % 3]} for n in range(count)]


def fields_of(found: Guess) -> Fields:
    """What flyball.yaml would say after `flyball init --from`."""
    chosen = {field.role: field.column for field in found.fields}
    return Fields(**{"label": None, **chosen})


def labels_of(path: Path, tmp_path: Path) -> dict[str | None, int]:
    """Labels of the dataset that this file becomes without a word of settings, by how many rows have them."""
    found = guess(path)
    assert found.task == "classification"
    build(path, tmp_path / "out", fields=fields_of(found))
    return Counter(row.label for side in everything(tmp_path / "out").values() for row in side)


THIRDS = dict.fromkeys(LABELS, 40)


def test_na_and_null_are_text_in_csv(tmp_path: Path) -> None:
    """huggingface/datasets#4467, pandas-dev/pandas#32084."""
    lines = [f"{text(n)},{('NA', 'US', 'null', 'None')[n % 4]}" for n in range(119)] + ["null,NA"]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *lines]))
    assert labels_of(tmp_path / "a.csv", tmp_path) == {"NA": 31, "US": 30, "null": 30, "None": 29}


def test_columns_that_begin_with_nulls_or_mix_types_lose_no_row(tmp_path: Path) -> None:
    """huggingface/datasets#7222, #7092, #6460, #3965."""
    late = [
        {**row, "closed": None if n < 100 else "2024-01-01", "pr": None if n < 110 else {"n": n}, "ner": [n % 2, "B"]}
        for n, row in enumerate(rows())
    ]
    assert labels_of(write_lines(tmp_path / "a.jsonl", late), tmp_path) == THIRDS


def test_numbers_and_strings_are_one_kind_of_label(tmp_path: Path) -> None:
    """huggingface/datasets#5827."""
    mixed = [{"text": text(n), "label": (1, "1", 3, "x")[n % 4]} for n in range(120)]
    (tmp_path / "a.json").write_text(json.dumps(mixed))
    assert labels_of(tmp_path / "a.json", tmp_path) == {"1": 60, "3": 30, "x": 30}


def test_nul_bytes_and_lone_returns_end_no_csv_row(tmp_path: Path) -> None:
    """pandas-dev/pandas#14012, #66415, #10018."""
    lines = [f"{row['text']},{row['label']}" for row in rows()]
    lines[10], lines[20], lines[30] = '"before\0after",lost', "two\rowt,lost", '"quoted\rreturn",lost'
    (tmp_path / "a.csv").write_bytes("\n".join(["text,label", *lines]).encode())
    assert sum(labels_of(tmp_path / "a.csv", tmp_path).values()) == 120
    texts = {row.text for side in everything(tmp_path / "out").values() for row in side}
    assert {"beforeafter", "two\nowt", "quoted\nreturn"} <= texts


def test_unicode_line_separators_end_no_line(tmp_path: Path) -> None:
    """datalad/datalad#3523, huggingface/datasets#3729."""
    lines = [{**row, "text": f"first\u2028second\u2029\x85\x0b {row['text']}"} for row in rows()]
    assert labels_of(write_lines(tmp_path / "a.jsonl", lines), tmp_path) == THIRDS


def test_class_names_of_parquet_are_the_labels_and_minus_one_is_none(tmp_path: Path) -> None:
    """huggingface/datasets#5706, #5624."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    features = {"label": {"_type": "ClassLabel", "names": [*LABELS]}, "text": {"_type": "Value", "dtype": "string"}}
    table = pa.table({"text": [text(n) for n in range(130)], "label": [n % 3 if n < 120 else -1 for n in range(130)]})
    known = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(known, tmp_path / "a.parquet")
    assert labels_of(tmp_path / "a.parquet", tmp_path) == THIRDS
    assert {reject.reason for reject in rejects(tmp_path / "out")} == {"no label"}
    categories = table.slice(0, 120).set_column(
        1, "label", pa.array([LABELS[n % 3] for n in range(120)]).dictionary_encode()
    )
    pq.write_table(categories, tmp_path / "b.parquet")
    assert labels_of(tmp_path / "b.parquet", tmp_path / "b") == THIRDS


@pytest.mark.parametrize("metadata", [b"no json", b"[]", b'{"info": {"features": {"label": 3}}}'])
def test_other_metadata_of_parquet_changes_nothing(tmp_path: Path, metadata: bytes) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"text": [text(n) for n in range(120)], "label": [n % 3 for n in range(120)]})
    pq.write_table(table.replace_schema_metadata({b"huggingface": metadata}), tmp_path / "a.parquet")
    assert labels_of(tmp_path / "a.parquet", tmp_path) == {"0": 40, "1": 40, "2": 40}


def test_an_export_of_label_studio_has_its_choices_as_labels(tmp_path: Path) -> None:
    """HumanSignal/label-studio#2588, #1605."""
    tasks = [
        {
            "id": n,
            "annotations": [
                {
                    "completed_by": 1,
                    "result": [
                        {
                            "value": {"choices": [row["label"]]},
                            "from_name": "sentiment",
                            "to_name": "text",
                            "type": "choices",
                        }
                    ],
                }
            ],
            "data": {"text": row["text"]},
            "predictions": [],
            "created_at": "2023-01-01T00:00:00Z",
        }
        for n, row in enumerate(rows())
    ]
    (tmp_path / "a.json").write_text(json.dumps(tasks))
    assert labels_of(tmp_path / "a.json", tmp_path) == THIRDS


def test_rows_saved_under_the_name_of_a_text_are_rows(tmp_path: Path) -> None:
    """hiyouga/LlamaFactory#3018."""
    (tmp_path / "a.txt").write_text(json.dumps(rows(), indent=1))
    assert labels_of(tmp_path / "a.txt", tmp_path) == THIRDS
    write_lines(tmp_path / "b.txt", rows())
    assert labels_of(tmp_path / "b.txt", tmp_path / "b") == THIRDS


@pytest.mark.parametrize("orient", ["columns", "lists"])
def test_columns_in_place_of_rows_are_refused_with_the_cure(tmp_path: Path, orient: str) -> None:
    """hiyouga/LlamaFactory#2571, posit-dev/chatlas#180."""
    columns: dict[str, Any] = {name: [row[name] for row in rows()] for name in ("text", "label")}
    if orient == "columns":
        columns = {name: {str(n): value for n, value in enumerate(values)} for name, values in columns.items()}
    (tmp_path / "a.json").write_text(json.dumps(columns))
    with pytest.raises(InputError, match="one object of 2 columns") as caught:
        guess(tmp_path / "a.json")
    assert "orient='records'" in (caught.value.cure or "")


def test_a_folder_of_row_files_is_refused_with_their_names(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", rows())
    with pytest.raises(InputError, match=r"no \.txt or \.md") as caught:
        guess(tmp_path)
    assert caught.value.cure == "name one file: train.jsonl"


def test_a_folder_of_row_files_beside_a_readme_is_refused_too(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl.gz", rows())
    (tmp_path / "README.md").write_text("three files")
    with pytest.raises(InputError, match=r"no \.txt or \.md file but README\.md") as caught:
        guess(tmp_path)
    assert caught.value.cure == "name one file: train.jsonl.gz"


@pytest.mark.parametrize(
    ("names", "template"),
    [
        (("sentence1", "sentence2"), "{sentence1}\n\n{sentence2}"),
        (("premise", "hypothesis"), "{premise}\n\n{hypothesis}"),
        (("text_a", "text_b"), "{text_a}\n\n{text_b}"),
        (("passage", "question"), "{question}\n\n{passage}"),
    ],
)
def test_two_texts_that_a_label_compares_are_both_read(tmp_path: Path, names: tuple[str, str], template: str) -> None:
    """huggingface/datasets#6506, whose pairs stand for all of GLUE."""
    pairs = [{names[0]: text(n), names[1]: text(n + 500) + " longer here", "label": n % 2} for n in range(120)]
    found = guess(write_lines(tmp_path / "a.jsonl", pairs))
    assert fields_of(found).text == template
    assert found.task == "classification"


def test_two_objects_that_a_label_compares_are_read_whole(tmp_path: Path) -> None:
    sides = [
        {
            "left": {"name": text(n), "price": "" if n % 2 else f"{n}.0"},
            "right": {"name": text(n + 300), "price": "9"},
            "label": n % 2,
        }
        for n in range(120)
    ]
    found = guess(write_lines(tmp_path / "a.jsonl", sides))
    assert fields_of(found).text == "{left}\n\n{right}"
    build(tmp_path / "a.jsonl", tmp_path / "out", fields=fields_of(found))
    texts = {row.line: row.text for side in everything(tmp_path / "out").values() for row in side}
    assert texts[2] == f"{text(1)}\n{text(301)}\n9"


def test_rows_that_differ_in_an_emoji_or_a_sign_are_not_the_same(tmp_path: Path) -> None:
    signs = ["I want to {} all of you", "what is 20 {} 4 in the end", "how do I begin with C{} at home"]
    made = [
        {"text": sign.format(mark), "label": LABELS[n % 3]}
        for sign, marks in zip(signs, ["🔪💣🤗🎉", "+÷×=", "#+"], strict=True)
        for n, mark in enumerate(marks)
    ]
    build(write_lines(tmp_path / "a.jsonl", made), tmp_path / "out", fields=Fields())
    kept = [row.text for side in everything(tmp_path / "out").values() for row in side]
    assert len(kept) == len(made), list(rejects(tmp_path / "out"))


def test_a_group_is_a_column_whose_values_come_back(tmp_path: Path) -> None:
    made = [
        {**row, "case_id": n, "ref_case_id": f"r{n // 4}" if n % 2 else "", "templ_id": n // 4}
        for n, row in enumerate(rows())
    ]
    found = guess(write_lines(tmp_path / "a.jsonl", made))
    assert fields_of(found).group == "templ_id"
    assert any("case_id is no group: 120 values in 120 rows" in line for line in found.explanations)
    apart = [{**row, "case_id": n} for n, row in enumerate(rows())]
    assert fields_of(guess(write_lines(tmp_path / "b.jsonl", apart))).group is None


def test_delimiters_at_the_end_of_each_line_add_no_column(tmp_path: Path) -> None:
    """pandas-dev/pandas#14124."""
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"{row['text']},{row['label']},,\n" for row in rows()))
    assert labels_of(tmp_path / "a.csv", tmp_path) == THIRDS


def test_notes_before_the_header_are_refused_with_the_cure(tmp_path: Path) -> None:
    """pandas-dev/pandas#4623, kuzudb/kuzu#4293."""
    lines = "".join(f"{row['text']},{row['label']}\n" for row in rows())
    (tmp_path / "a.csv").write_text(f"# exported by the shop\ntext,label\n{lines}")
    with pytest.raises(InputError, match="2 columns where the header has 1") as caught:
        guess(tmp_path / "a.csv")
    assert "remove what stands before it" in (caught.value.cure or "")


@pytest.mark.parametrize("flag", [(True, False), ("True", "False"), (1, 0), ("yes", "no")])
def test_a_flag_is_the_label_where_nothing_else_is(tmp_path: Path, flag: tuple[Any, Any]) -> None:
    flagged = [{"message": row["text"], "verified": n % 5 == 0, "is_spam": flag[n % 2]} for n, row in enumerate(rows())]
    found = guess(write_lines(tmp_path / "a.jsonl", flagged))
    assert (found.task, fields_of(found).label) == ("classification", "is_spam")


def test_lists_of_several_labels_are_said_to_be_none(tmp_path: Path) -> None:
    """doccano/doccano#1865: such rows are several labels, never the first of them."""
    lists = [{"text": row["text"], "labels": [row["label"], "other"][: 1 + n % 2]} for n, row in enumerate(rows())]
    found = guess(write_lines(tmp_path / "a.jsonl", lists))
    assert found.task == "chat" and not found.answered
    assert "labels holds several values in a row" in found.explanations[0]
    single = [{"text": row["text"], "labels": [row["label"]]} for row in rows()]
    assert labels_of(write_lines(tmp_path / "b.jsonl", single), tmp_path) == THIRDS
