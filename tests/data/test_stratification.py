"""Each label with two groups is trained on and tested; groups stay whole; other rows stay where the hash puts them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.data.config import SplitConfig
from flyball.data.deduplication import Candidate
from flyball.data.splits import place_of, side_of
from flyball.data.stratification import STEP, moves
from rows_on_disk import KEY, build, everything, write_lines

SPLIT = SplitConfig(validation=0.1, test=0.2)


def candidate(number: int, group: str, label: str, declared: str | None = None) -> Candidate:
    place = place_of(KEY, group)
    return Candidate(
        row_id=f"{number:04d}",
        order=("s", number),
        side=side_of(place, declared, SPLIT),
        label=label,
        exact=number,
        grams=frozenset(),
        place=place,
        declared=declared,
    )


ROWS = st.lists(
    st.tuples(
        st.sampled_from([f"g{n}" for n in range(12)]),
        st.sampled_from("abcd"),
        st.sampled_from([None, None, None, "train", "test"]),
    ),
    max_size=40,
)


def sides_after(rows: list[Candidate]) -> list[str]:
    moved = moves(rows, range(len(rows)), wants_test=True)
    return [moved.get(at, row.side) for at, row in enumerate(rows)]


@settings(max_examples=200)
@given(drawn=ROWS)
def test_labels_train_where_they_may_and_groups_stay_whole(drawn: list[tuple[str, str, str | None]]) -> None:
    rows = [candidate(number, *one) for number, one in enumerate(drawn)]
    sides = sides_after(rows)
    of_label: defaultdict[str | None, list[int]] = defaultdict(list)
    of_group: defaultdict[tuple[int, str | None], set[str]] = defaultdict(set)
    for at, row in enumerate(rows):
        of_label[row.label].append(at)
        of_group[row.place, row.declared].add(sides[at])
    assert all(len(found) == 1 for found in of_group.values())
    assert all(sides[at] == row.declared for at, row in enumerate(rows) if row.fixed)
    assert all(sides[at] != "test" for at, row in enumerate(rows) if row.declared == "train")
    for members in of_label.values():
        if any(not rows[at].fixed for at in members):
            assert any(sides[at] == "train" for at in members)


@given(counts=st.lists(st.integers(2, 30), min_size=1, max_size=8))
def test_each_label_with_two_groups_of_its_own_has_rows_on_both_sides(counts: list[int]) -> None:
    rows = [candidate(0, f"{label}-{n}", str(label)) for label, count in enumerate(counts) for n in range(count)]
    sides = sides_after(rows)
    for label in range(len(counts)):
        assert {"train", "test"} <= {side for row, side in zip(rows, sides, strict=True) if row.label == str(label)}


@given(counts=st.lists(st.integers(1, 6), min_size=1, max_size=5), more=st.integers(1, 8))
def test_new_rows_of_one_label_move_no_row_of_another(counts: list[int], more: int) -> None:
    rows = [candidate(0, f"{label}-{n}", str(label)) for label, count in enumerate(counts) for n in range(count)]
    grown = [*rows, *(candidate(0, f"new-{n}", "0") for n in range(more))]
    before, after = sides_after(rows), sides_after(grown)
    assert all(before[at] == after[at] for at, row in enumerate(rows) if row.label != "0")


def test_labels_with_rows_enough_are_where_the_hash_puts_them() -> None:
    rows = [candidate(0, f"{label}-{n}", label) for label in "abc" for n in range(100)]
    assert moves(rows, range(len(rows)), wants_test=True) == {}


def test_sixty_four_rare_labels_all_train_and_are_all_tested(tmp_path: Path) -> None:
    words = ["kettle", "tent", "lamp", "chair"]
    lines = [
        {"text": f"label{k} wants {word} of {k * 7 + n}", "label": f"l{k:02d}", "who": f"p{k}-{n}"}
        for k in range(64)
        for n, word in enumerate(words)
    ]
    version = build(write_lines(tmp_path / "a.jsonl", lines), tmp_path / "out", split=SplitConfig())
    sides = everything(tmp_path / "out")
    assert {row.label for row in sides["train"]} == {row.label for row in sides["test"]} == set(version.labels)
    moved = [row for side in sides.values() for row in side if STEP in row.steps]
    assert version.changed[STEP] == len(moved) > 0
