"""Conversations of any usual form become what is asked and the answer to it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flyball.data.config import DataConfig, DedupeConfig, Fields, SourceConfig, SplitConfig
from flyball.data.conversations import NotTurns, Turn, conversation_of
from flyball.data.splits import validation_from_train
from flyball.evaluation.suites.held_out import row_items
from flyball.records import canonical_bytes
from rows_on_disk import all_rows, build, everything, rejects, rows, write_lines

HELLO = [Turn("user", "hello"), Turn("assistant", "hi"), Turn("user", "how are you?")]
OPENAI = [
    {"role": "user", "content": [{"type": "text", "text": "hello"}]},
    {"role": "assistant", "content": "hi", "tool_calls": None},
    {"role": "user", "content": "how are you?"},
    {"role": "assistant", "content": "well"},
]
SHAREGPT = [
    {"from": role, "value": text}
    for role, text in zip(["human", "gpt"] * 2, ["hello", "hi", "how are you?", "well"], strict=True)
]
TRANSCRIPT = "\n\nHuman: hello\n\nAssistant: hi\n\nHuman: how are you?\n\nAssistant: well"
FREE: dict[str, Any] = {"task": "chat", "dedupe": DedupeConfig(near=None)}


@pytest.mark.parametrize(
    "value", [OPENAI, SHAREGPT, TRANSCRIPT, {"messages": OPENAI}, str(OPENAI).replace("'", '"').replace("None", "null")]
)
def test_every_form_gives_the_same_turns(value: object) -> None:
    found = conversation_of(value)
    assert list(found.asked) == HELLO
    assert found.answer == "well"


def test_system_turns_come_first_as_one_and_tools_are_said() -> None:
    turns = [
        {"role": "user", "content": "weather?"},
        {"role": "system", "content": "be brief"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "x1", "function": {"name": "get", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "content": "sunny"},
        {"role": "assistant", "content": "It is sunny."},
    ]
    found = conversation_of(turns, tools=[{"name": "get"}])
    assert [turn.role for turn in found.asked] == ["system", "user", "assistant", "user"]
    assert found.asked[0].content == 'Tools: [{"name": "get"}]\n\nbe brief'
    assert found.asked[2].content == '{"name": "get", "arguments": {"a": 1}}'
    assert found.asked[3].content == "Tool result: sunny"
    assert conversation_of(turns[:3]).answer == '{"name": "get", "arguments": {"a": 1}}'


def test_what_nobody_answered_is_left_out_and_said() -> None:
    assert conversation_of([*OPENAI, {"role": "user", "content": "bye"}]).steps == ("turns:unanswered",)
    questions = conversation_of(["write a post", "now shorter"])
    assert (questions.asked, questions.answer) == ((Turn("user", "write a post"),), None)
    assert (questions.later, questions.steps) == ((Turn("user", "now shorter"),), ())


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "empty"),
        ([], "empty"),
        (3, "a int"),
        ("no turns here", "without turns"),
        ([{"content": "x"}], "without a role"),
        ([{"role": "martian", "content": "x"}], "not known"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}], "not text"),
        ([{"role": "assistant", "content": "x"}], "no turn of a user"),
        ({"a": 1}, "without messages"),
        ([1], "no object"),
    ],
)
def test_what_is_no_conversation_says_why(value: object, why: str) -> None:
    with pytest.raises(NotTurns, match=why):
        conversation_of(value)


def test_rows_keep_turns_and_are_asked_with_them(tmp_path: Path) -> None:
    lines = [
        {
            "messages": [
                {"role": "system", "content": f"tone {n % 3}"},
                {"role": "user", "content": f"mail a{n}@b.org to {n}"},
                {"role": "assistant", "content": f"done {n}"},
            ]
        }
        for n in range(40)
    ]
    broken: list[dict[str, Any]] = [{"messages": []}, {"messages": [{"role": "user", "content": "and?"}]}]
    fields = Fields(messages="messages")
    build(write_lines(tmp_path / "a.jsonl", [*lines, *broken]), tmp_path / "out", fields=fields, **FREE)
    found = all_rows(tmp_path / "out")
    assert sorted(row.line for row in found) == [*range(1, 41), 42]
    first = next(row for row in found if row.line == 1)
    assert (first.text, first.label) == ("mail <EMAIL> to 0", "done 0")
    assert first.turns is not None and [turn["role"] for turn in msgspec.json.decode(first.turns)] == ["system", "user"]
    assert next(row.label for row in found if row.line == 42) is None
    assert [reject.detail for reject in rejects(tmp_path / "out")] == ["messages: empty"]
    items = row_items(tmp_path / "out", "test")
    assert items and all([m.role for m in item.messages] == ["system", "user"] for item in items)


def test_several_columns_make_one_text_and_empty_ones_leave_no_gap(tmp_path: Path) -> None:
    lines = [
        {
            "instruction": f"sum up number {n}",
            "input": f"words {n}" if n % 2 else "",
            "output": {"answers": [f"short {n}"]},
        }
        for n in range(30)
    ]
    fields = Fields(text="{instruction}\n\n{input}", label="output.answers.0")
    build(write_lines(tmp_path / "a.jsonl", lines), tmp_path / "out", fields=fields, **FREE)
    texts = {row.line: (row.text, row.label) for row in all_rows(tmp_path / "out")}
    assert texts[1] == ("sum up number 0", "short 0")
    assert texts[2] == ("sum up number 1\n\nwords 1", "short 1")


def test_preference_pairs_answer_with_what_was_chosen(tmp_path: Path) -> None:
    lines = [
        {"prompt": f"question number {n}", "chosen": [{"role": "assistant", "content": f"good {n}"}], "rejected": "bad"}
        for n in range(30)
    ]
    path = write_lines(tmp_path / "a.jsonl", lines)
    plain = build(path, tmp_path / "plain", fields=Fields(text="prompt", label="chosen"), **FREE)
    fields = Fields(text="prompt", label="chosen", rejected="rejected")
    version = build(path, tmp_path / "out", fields=fields, **FREE)
    found = all_rows(tmp_path / "out")
    assert {row.label for row in found} == {f"good {n}" for n in range(30)}
    assert {row.rejected for row in found} == {"bad"}
    assert (version.pairs, plain.pairs) == (30, 0)
    assert b"pairs" not in canonical_bytes(plain), "a dataset from before the field keeps its name"
    assert {row.row_id for row in found} == {row.row_id for row in all_rows(tmp_path / "plain")}


def test_what_was_rejected_is_read_and_redacted_as_what_was_chosen(tmp_path: Path) -> None:
    lines = [
        {
            "chosen": f"\n\nHuman: number {n}\n\nAssistant: good",
            "rejected": f"\n\nHuman: number {n}\n\nAssistant: " + ("write to a@b.org" if n % 3 else "good"),
        }
        for n in range(30)
    ]
    fields = Fields(messages="chosen", rejected="rejected")
    version = build(write_lines(tmp_path / "a.jsonl", lines), tmp_path / "out", fields=fields, **FREE)
    rejected = Counter(row.rejected for row in all_rows(tmp_path / "out"))
    assert rejected == {"write to <EMAIL>": 20, None: 10} and version.pairs == 20


def test_a_data_sets_own_sides_stand_exactly(tmp_path: Path) -> None:
    named = ["train", "train", "train", "dev", "oos_test"]
    lines = [{**row, "split": named[n % 5]} for n, row in enumerate(rows(100))]
    path = write_lines(tmp_path / "a.jsonl", [*lines, {**rows(1)[0], "text": "something else", "split": "moon"}])
    build(
        path,
        tmp_path / "out",
        fields=Fields(split="split"),
        dedupe=DedupeConfig(near=None),
        split=SplitConfig(validation=0.3, test=0.3),
    )
    sides = everything(tmp_path / "out")
    wanted = {"train": {0, 1, 2}, "validation": {3}, "test": {4}}
    assert {side: {(row.line - 1) % 5 for row in found} for side, found in sides.items()} == wanted
    assert sum(map(len, sides.values())) == 100
    assert [reject.reason for reject in rejects(tmp_path / "out")] == ["unknown split"]


def test_a_declared_train_moves_no_row_where_the_data_declares_a_validation_side(tmp_path: Path) -> None:
    found = rows(100)
    files = [write_lines(tmp_path / f"{name}.jsonl", found[at : at + 50]) for at, name in ((0, "fit"), (50, "held"))]
    near = {"dedupe": DedupeConfig(near=None), "split": SplitConfig(validation=0.5, test=0.0)}
    build(files, tmp_path / "out", splits=("train", "validation"), fields=Fields(), **near)
    sides = everything(tmp_path / "out")
    assert {side: {row.source for row in found} for side, found in sides.items()} == {
        "train": {"fit.jsonl"},
        "validation": {"held.jsonl"},
        "test": set(),
    }
    build(files, tmp_path / "none", splits=("train", "test"), fields=Fields(), **near)
    sides = everything(tmp_path / "none")
    assert 10 < len(sides["validation"]) < 40 and {row.source for row in sides["validation"]} == {"fit.jsonl"}
    assert {row.source for row in sides["test"]} == {"held.jsonl"}


def test_where_the_validation_side_comes_from_is_known_from_the_settings() -> None:
    def config(*sources: SourceConfig, validation: float = 0.1) -> DataConfig:
        return DataConfig(sources=sources, split=SplitConfig(validation=validation))

    train, own = SourceConfig(path="a", split="train"), SourceConfig(path="b", fields=Fields(split="split"))
    held, plain = SourceConfig(path="c", split="validation"), SourceConfig(path="d")
    assert validation_from_train(config(train, plain))
    for declared in (config(train, held), config(train, own), config(plain), config(train, validation=0)):
        assert not validation_from_train(declared)


def test_rows_of_questions_alone_ask_all_of_them_in_order(tmp_path: Path) -> None:
    lines = [{"turns": [f"write a post number {n}", f"now shorter than {n} words"], "gold": "x"} for n in range(30)]
    path = write_lines(tmp_path / "a.jsonl", lines)
    asked = {"split": SplitConfig(validation=0.0, test=0.5), **FREE}
    version = build(path, tmp_path / "out", fields=Fields(messages="turns", label=None), **asked)
    items = row_items(tmp_path / "out", "test")
    assert len(items) > 5 and "turns:later" not in version.changed
    assert all(len(item.messages) == len(item.follow_ups) == 1 for item in items)
    assert {item.messages[0].content.split()[0] for item in items} == {"write"}
    assert {item.follow_ups[0].split()[0] for item in items} == {"now"}
    answered = build(path, tmp_path / "gold", fields=Fields(messages="turns", label="gold"), **asked)
    assert answered.changed["turns:later"] == 30, "one answer is one to the first question"
    assert not any(item.follow_ups for item in row_items(tmp_path / "gold", "test"))
