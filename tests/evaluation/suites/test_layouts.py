"""Cases are read as others write them, the columns chosen are said, and nothing is dropped without a word."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from flyball.errors import InputError
from flyball.evaluation.suites.catalog import load_suite
from flyball.evaluation.suites.files import Columns, file_items, find_layout, rows_of
from flyball.evaluation.suites.suite import Suite
from rows_on_disk import write_lines

USER = {"role": "user", "content": "hi"}
BOT = {"role": "assistant", "content": "hello"}
LAYOUTS: dict[str, dict[str, Any]] = {
    "OpenAI's messages": {"messages": [USER, BOT]},
    "messages with parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}, BOT]},
    "ShareGPT": {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]},
    "OpenAI's evals": {"input": [USER], "ideal": "hello"},
    "prompt and completion": {"prompt": "hi", "completion": "hello"},
    "prompt and completion as messages": {"prompt": [USER], "completion": [BOT]},
    "preferences": {"prompt": "hi", "chosen": "hello", "rejected": "go away"},
    "instruction and output": {"instruction": "hi", "input": "", "output": "hello"},
    "Dolly": {"instruction": "hi", "context": "", "response": "hello", "category": "chat"},
    "question and answer": {"question": "hi", "answer": "hello"},
    "question and best answer": {"Category": "x", "Question": "hi", "Best Answer": "hello"},
    "SQuAD": {"id": 1, "question": "hi", "context": "", "answers": {"text": ["hello"], "answer_start": [3]}},
    "query and intent": {"query": "hi", "intent": "hello"},
    "sentence and label": {"idx": 4, "sentence": "hi", "label": "hello"},
    "input and target": {"input": "hi", "target": "hello"},
}


def load(folder: Path, rows: list[dict[str, Any]], columns: Columns | None = None) -> Suite:
    path = folder / "cases.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_suite("cases.jsonl", dataset_dir=None, root=folder, columns=columns)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_public_layout_is_read_by_its_columns(tmp_path: Path, layout: str) -> None:
    suite = load(tmp_path, [LAYOUTS[layout]])
    (item,) = suite.items
    assert ([(m.role, m.content) for m in item.messages], item.expected) == ([("user", "hi")], "hello")
    assert any("→" in note for note in suite.notes), "which columns were taken is said"


def test_the_input_belongs_to_the_instruction(tmp_path: Path) -> None:
    suite = load(tmp_path, [{"instruction": "Translate.", "input": "Guten Tag", "output": "Good day"}])
    assert suite.items[0].messages[0].content == "Translate.\n\nGuten Tag"
    assert "instruction with input → output" in suite.notes[0]


@pytest.mark.parametrize("name", ["cases.csv", "cases.json", "semicolons.csv"])
def test_tables_and_arrays_are_suites_too(tmp_path: Path, name: str) -> None:
    rows = [{"text": f'say "{k}", please', "label": str(k)} for k in range(30)]
    path = tmp_path / name
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, ["text", "label"], delimiter=";" if "semi" in name else ",")
            table.writeheader()
            table.writerows(rows)
    suite = load_suite(name, dataset_dir=None, root=tmp_path)
    assert [item.expected for item in suite.items] == [row["label"] for row in rows]
    assert suite.items[3].messages[0].content == rows[3]["text"] and suite.notes == ()


def test_columns_that_are_named_win_and_wrong_ones_are_answered_with_those_there_are(tmp_path: Path) -> None:
    rows = [{"text": "hi", "label": "a", "frage": "Na?", "klasse": 7}]
    suite = load(tmp_path, rows, Columns(text="frage", label="klasse"))
    assert (suite.items[0].messages[0].content, suite.items[0].expected) == ("Na?", "7")
    with pytest.raises(InputError, match="has no column 'nope', but text, label, frage, klasse"):
        load(tmp_path, rows, Columns(label="nope"))


def test_columns_without_a_known_name_are_guessed_by_what_is_in_them_or_asked_for(tmp_path: Path) -> None:
    rows = [{"v1": "spam" if k % 3 else "ham", "v2": f"a longer text with words number {k} in it"} for k in range(60)]
    suite = load(tmp_path, rows)
    assert suite.items[0].expected == "ham" and "guessed from their contents" in suite.notes[0]
    with pytest.raises(InputError, match="none of its columns") as caught:
        load(tmp_path, [{"a": 1, "b": 2}])
    assert "--text COLUMN --label COLUMN" in caught.value.cure


def test_repeated_contradicting_and_manifold_cases_are_said(tmp_path: Path) -> None:
    rows = [
        *[{"text": "hi", "label": "a"}] * 3,
        {"text": "hi", "label": "b"},
        {"text": "ho", "label": ["a", "b"]},
        {"text": "he", "label": True},
        {"text": "hu", "label": 3},
    ]
    suite = load(tmp_path, rows)
    assert [item.expected for item in suite.items] == ["a", "b", "a", "true", "3"]
    said = " ".join(suite.notes)
    assert "2 of 7 rows repeat another" in said and "1 questions have different expected answers" in said
    assert "1 cases have several expected answers" in said


def test_a_file_of_texts_and_labels_keeps_the_name_that_it_always_had(tmp_path: Path) -> None:
    suite = load(tmp_path, [{"text": "hi", "label": "greeting"}])
    assert suite.items[0].id == "84098995accb51d803dff5de3f68657a"


def test_a_label_of_one_value_is_the_one_column_beside_a_known_text(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"text": f"words and words {n}", "is_toxic": "Toxic"} for n in range(20)])
    layout, why = find_layout(path, rows_of(path), Columns())
    assert (layout.question, layout.answer) == ("text", "is_toxic") and "--label" in why


def test_where_one_side_is_known_the_cure_names_it(tmp_path: Path) -> None:
    lines = [{"text": f"words and words {n}", "is_toxic": "Toxic", "is_long": "no"} for n in range(20)]
    path = write_lines(tmp_path / "a.jsonl", lines)
    with pytest.raises(InputError, match="which of its columns answers is not known: is_toxic, is_long") as caught:
        find_layout(path, rows_of(path), Columns())
    assert caught.value.cure == "say which: --text text --label COLUMN"


def test_a_row_whose_expected_answer_is_empty_is_named(tmp_path: Path) -> None:
    (tmp_path / "tickets.csv").write_text("text,label\nwhere is it?,order\nmoney back,\n")
    with pytest.raises(InputError, match=r"tickets.csv:3: label is empty"):
        file_items(tmp_path / "tickets.csv")


def test_choices_that_are_not_asked_are_said(tmp_path: Path) -> None:
    """As MMLU has them: the answer is a position, and the question alone cannot be answered with it."""
    rows = [{"question": f"{n} + 1?", "choices": [str(n), str(n + 1)], "answer": 1} for n in range(3)]
    _, notes = file_items(write_lines(tmp_path / "mc.jsonl", rows))
    assert any("its column 'choices' is not asked" in note for note in notes)
