"""The profile knows the words that training rows share, without holding any."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.data.config import DedupeConfig, SplitConfig
from flyball.data.text_profile import FILE, read_profile
from flyball.errors import CorruptionError, NotFoundError
from rows_on_disk import KEY, build, rows, write_lines

ALL_TRAIN = {"split": SplitConfig(validation=0, test=0), "dedupe": DedupeConfig(near=None)}


def test_words_that_rows_of_two_people_have_are_known_and_others_are_new(tmp_path: Path) -> None:
    lone = [
        {"text": "zanzibar kettle", "label": "a", "who": "x"},
        {"text": "zanzibar tent again", "label": "a", "who": "x"},
        {"text": "madagascar kettle", "label": "a", "who": "x"},
        {"text": "madagascar tent", "label": "a", "who": "y"},
    ]
    build(write_lines(tmp_path / "a.jsonl", [*rows(60), *lone]), tmp_path / "out", **ALL_TRAIN)
    profile = read_profile(tmp_path / "out" / FILE, KEY)
    assert not profile.has_new_word("My KETTLE, my tent!")
    assert not profile.has_new_word("madagascar")
    assert profile.has_new_word("zanzibar"), "a word of one person alone is not kept"
    assert profile.has_new_word("my drone")
    assert not profile.has_new_word("my tent 123"), "numbers are no words"


def test_the_file_holds_no_word_and_is_useless_with_another_key(tmp_path: Path) -> None:
    build(write_lines(tmp_path / "a.jsonl", rows(100)), tmp_path / "out", **ALL_TRAIN)
    path = tmp_path / "out" / FILE
    assert b"kettle" not in path.read_bytes()
    assert read_profile(path, bytes(32)).has_new_word("kettle")


def test_shares_describe_the_data(tmp_path: Path) -> None:
    build(write_lines(tmp_path / "a.jsonl", rows(300)), tmp_path / "out", dedupe=DedupeConfig(near=None))
    profile = read_profile(tmp_path / "out" / FILE, KEY)
    assert sum(profile.label_shares.values()) == pytest.approx(1)
    assert profile.n == profile.stored.rows_by_split["train"]
    assert profile.new_word_rows == 300 - profile.n
    assert 0 <= profile.new_word_share < 0.1


def test_a_profile_that_is_missing_or_damaged_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_profile(tmp_path / FILE, KEY)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(CorruptionError):
        read_profile(tmp_path / FILE, KEY)


def test_a_language_without_blanks_is_not_all_new_words(tmp_path: Path) -> None:
    things = ["水壶", "帐篷", "台灯", "椅子", "地毯", "杯子", "软管", "枕头", "相机", "面包机"]
    ends = ["还没有送到", "已经坏了", "颜色不对", "我想要退货", "怎么使用"]
    texts = [f"我订购的{thing}{end}" for thing in things for end in ends]
    path = write_lines(
        tmp_path / "a.jsonl", [{"text": text, "label": "ab"[n % 2], "who": f"p{n}"} for n, text in enumerate(texts)]
    )
    build(path, tmp_path / "out", split=SplitConfig(validation=0, test=0.3), dedupe=DedupeConfig(near=None))
    profile = read_profile(tmp_path / "out" / FILE, KEY)
    assert profile.new_word_share < 0.2
    assert not profile.has_new_word("我的椅子坏了")
    assert profile.has_new_word("我的信用卡丢失了")
