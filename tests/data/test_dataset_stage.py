"""The dataset stage: nothing is lost, nothing leaks, and the same content has one name."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball.data.config import CleanConfig, DedupeConfig, Fields, SplitConfig, ValidateConfig
from flyball.data.deduplication import grams_of
from flyball.data.rows import subject_hash
from flyball.errors import ConfigError, EnvironmentMissing, InputError
from flyball.records import fingerprint
from flyball.records.identity import keyed_hash
from rows_on_disk import KEY, all_rows, build, everything, rejects, rows, rows_of, write_lines


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


TEXTS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["where is my tent", "Where is my tent?", "where is my tent please", "my mail is a@b.org", ""]),
    st.sampled_from(["caf\u00c3\u00a9 tent", "<b>x</b>"]),
)
OBJECTS = st.fixed_dictionaries(
    {
        "text": st.one_of(TEXTS, st.none(), st.integers()),
        "label": st.sampled_from(["a", "b", "", None]),
        "who": st.sampled_from(["p", "q", None]),
    }
)
BROKEN = [b"{", b"\xff{}", b"[]", b"null", b'{"text": "\x00"}', b'{"text": "x", "text": "y"}', b'{"label": "a"}', b"{}"]
LINES = st.one_of(OBJECTS, st.sampled_from(BROKEN))
ANCHORS = [{"text": f"anchor {word} one two three", "label": label, "who": None} for word in "uvwxyz" for label in "ab"]


@settings(max_examples=25)
@given(lines=st.lists(LINES, max_size=25), seed=st.integers(0, 99))
def test_rows_in_are_rows_out_plus_rejects_and_every_line_is_accounted_for_once(
    lines: list[dict[str, str] | bytes], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("law")
    source = [*ANCHORS, {"label": "a", "who": "p"}, *lines]
    random.Random(seed).shuffle(source)
    # the anchors contradict one another on purpose; `keep` lets enough rows live
    version = build(
        write_lines(folder / "a.jsonl", source),
        folder / "out",
        dedupe=DedupeConfig(conflicts="keep"),
        split=SplitConfig(validation=0.1, test=0.0),
    )
    kept, gone = all_rows(folder / "out"), rejects(folder / "out")
    assert version.rows_in == len(source) == len(kept) + len(gone)
    assert sorted(row.line for row in [*kept, *gone]) == list(range(1, len(source) + 1))
    assert sum(version.dropped.values()) == len(gone)
    assert {split.name: split.rows for split in version.splits} == {
        s: len(r) for s, r in everything(folder / "out").items()
    }
    assert len({row.row_id for row in kept}) == len(kept)


def test_the_same_content_in_any_order_at_any_path_and_packed_or_not_has_the_same_fingerprint(tmp_path: Path) -> None:
    source = [
        *rows(120),
        *rows(10),
        b"{broken",
        b"\xff",
        {"text": "my red kettle number a0 is odd", "label": "b", "who": "x"},
    ]
    first = build(write_lines(tmp_path / "a.jsonl", source), tmp_path / "one", names=["tickets"])
    random.Random(7).shuffle(source)
    (tmp_path / "elsewhere").mkdir()
    second = build(write_lines(tmp_path / "elsewhere" / "b.jsonl.gz", source), tmp_path / "two", names=["tickets"])
    assert fingerprint(first) == fingerprint(second)
    strip = [(row.row_id, row.text, row.label, row.group) for row in all_rows(tmp_path / "one")]
    assert strip == [(row.row_id, row.text, row.label, row.group) for row in all_rows(tmp_path / "two")]


@pytest.mark.parametrize("change", ["row", "setting", "key"])
def test_another_row_setting_or_key_has_another_fingerprint(tmp_path: Path, change: str) -> None:
    path = write_lines(tmp_path / "a.jsonl", rows(60))
    first = build(path, tmp_path / "out")
    if change == "row":
        write_lines(path, [*rows(60)[:-1], {"text": "something else altogether", "label": "a", "who": "p1"}])
    parts = {"dedupe": DedupeConfig(near=0.9)} if change == "setting" else {}
    second = build(path, tmp_path / "out", key=bytes(32) if change == "key" else KEY, **parts)
    assert fingerprint(first) != fingerprint(second)


def test_paths_and_production_settings_are_outside_the_fingerprint(tmp_path: Path) -> None:
    from flyball.data.config import ProductionConfig

    path = write_lines(tmp_path / "a.jsonl", rows(60))
    first = build(path, tmp_path / "out")
    assert fingerprint(first) == fingerprint(build(path, tmp_path / "out", production=ProductionConfig(max_rows=1)))


def test_every_row_leads_back_to_its_line_and_says_what_changed_it(tmp_path: Path) -> None:
    dirty = {
        "text": "<b>Hello</b>,  my mail is jo@example.org and the caf\u00c3\u00a9 is shut",
        "label": "a",
        "who": "p0",
    }
    clean = CleanConfig(strip_markup=True)
    build(write_lines(tmp_path / "a.jsonl", [*rows(50), b"", dirty]), tmp_path / "out", clean=clean)
    found = next(row for row in all_rows(tmp_path / "out") if row.line == 52)
    assert found.text == "Hello , my mail is <EMAIL> and the café is shut"
    assert found.steps == ("encoding", "markup", "whitespace", "redact:EMAIL")
    assert found.source == "a.jsonl"
    assert found.subject == subject_hash(KEY, "p0") == keyed_hash(KEY, "subject", "p0")


def test_all_rows_of_one_person_are_on_one_side_and_stay_there_as_data_grows(tmp_path: Path) -> None:
    build(write_lines(tmp_path / "a.jsonl", rows(200)), tmp_path / "small", dedupe=DedupeConfig(near=None))
    build(write_lines(tmp_path / "a.jsonl", rows(400)), tmp_path / "large", dedupe=DedupeConfig(near=None))
    sides: dict[str, set[str]] = {}
    for folder in ("small", "large"):
        for side, found in everything(tmp_path / folder).items():
            for row in found:
                sides.setdefault(row.group, set()).add(side)
    assert all(len(side) == 1 for side in sides.values())
    assert {side for one in sides.values() for side in one} == {"train", "validation", "test"}


def test_a_group_field_keeps_rows_of_different_people_together(tmp_path: Path) -> None:
    grouped = [{**row, "talk": f"t{n // 10}"} for n, row in enumerate(rows(200))]
    build(write_lines(tmp_path / "a.jsonl", grouped), tmp_path / "out", fields=Fields(subject="who", group="talk"))
    talks: dict[str, set[str]] = {}
    for side, found in everything(tmp_path / "out").items():
        for row in found:
            talks.setdefault(grouped[row.line - 1]["talk"], set()).add(side)
    assert all(len(side) == 1 for side in talks.values())


def test_no_two_kept_rows_are_near_duplicates_whatever_their_sides(tmp_path: Path) -> None:
    base = "my parcel with the blue tent and the lamp never came to the house in the old town near the sea"
    copies = [
        {"text": f"{base} {extra}", "label": "a", "who": f"q{n}"}
        for n, extra in enumerate(
            ["", "please", "today", "hello", "again", "now", "thanks", "ok", "hi", "why", "so", "no"]
        )
    ]
    build(write_lines(tmp_path / "a.jsonl", [*rows(60), *copies]), tmp_path / "out")
    grams = [grams_of(row.text) for row in all_rows(tmp_path / "out")]
    for at, one in enumerate(grams):
        assert all(len(one & other) / len(one | other) < 0.8 for other in grams[:at])
    reasons = Counter(reject.reason for reject in rejects(tmp_path / "out"))
    assert sum(reasons.values()) == len(copies) - 1
    assert set(reasons) <= {"near duplicate", "leaks into test", "leaks into validation"}


def test_a_declared_test_source_keeps_its_rows_and_the_training_copies_go(tmp_path: Path) -> None:
    training, testing = rows(100), rows(140)[90:]
    near = "this long sentence about a lost parcel has so many words that one more hardly matters at all"
    training.append({"text": near, "label": "a", "who": "p1"})
    testing.append({"text": near + " now", "label": "a", "who": "p2"})
    version = build(
        [write_lines(tmp_path / "train.jsonl", training), write_lines(tmp_path / "test.jsonl", testing)],
        tmp_path / "out",
        splits=["train", "test"],
        dedupe=DedupeConfig(near=0.8),
    )
    sides = everything(tmp_path / "out")
    assert len(sides["test"]) == len(testing)
    assert {row.source for row in sides["test"]} == {"test.jsonl"}
    assert version.dropped == {"leaks into test": 11}
    assert {reject.line for reject in rejects(tmp_path / "out")} == set(range(91, 102))
    assert sides["validation"]
    assert {row.source for row in sides["validation"]} == {"train.jsonl"}


def test_of_contradicting_labels_the_majority_stays(tmp_path: Path) -> None:
    text = "is this one here contradicted or not"
    votes = [{"text": text + "!" * n, "label": label, "who": None} for n, label in enumerate("aaab")]
    ties = [{"text": "and what about a tie", "label": label, "who": None} for label in "ab"]
    version = build(write_lines(tmp_path / "a.jsonl", [*rows(60), *votes, *ties]), tmp_path / "out")
    found = [row for row in all_rows(tmp_path / "out") if row.line > 60]
    assert [(row.text.rstrip("!"), row.label) for row in found] == [(text, "a")]
    assert version.dropped["conflicting label"] == 3
    assert version.dropped["exact duplicate"] == 2


def test_for_chat_one_question_may_have_several_answers(tmp_path: Path) -> None:
    asked = [{"text": "how are you", "label": answer, "who": None} for answer in ("fine", "so so", "fine")]
    version = build(write_lines(tmp_path / "a.jsonl", [*rows(60), *asked]), tmp_path / "out", task="chat")
    assert {row.label for row in all_rows(tmp_path / "out") if row.text == "how are you"} == {"fine", "so so"}
    assert version.dropped == {"exact duplicate": 1}
    assert version.labels == ()


def test_replies_of_a_chat_are_redacted_too(tmp_path: Path) -> None:
    asked = {"text": "whom do I write to", "label": "Write to jo@example.org.", "who": None}
    build(write_lines(tmp_path / "a.jsonl", [*rows(60), asked]), tmp_path / "out", task="chat")
    assert "Write to <EMAIL>." in {row.label for row in all_rows(tmp_path / "out")}


def test_rows_of_erased_people_do_not_come_back(tmp_path: Path) -> None:
    gone = subject_hash(KEY, "p3")
    version = build(write_lines(tmp_path / "a.jsonl", rows(100)), tmp_path / "out", suppressed=frozenset({gone}))
    assert version.dropped == {"erased": 2}
    assert not rows_of(tmp_path / "out", gone)


def test_production_rows_keep_their_hashed_subject_and_meet_the_person_of_the_raw_rows(tmp_path: Path) -> None:
    hashed = subject_hash(KEY, "p3")
    corrections = [{"text": "a corrected answer about something", "label": "a", "who": hashed}]
    files = [write_lines(tmp_path / "a.jsonl", rows(100)), write_lines(tmp_path / "production.jsonl", corrections)]
    build(files, tmp_path / "out", dedupe=DedupeConfig(near=None))
    found = rows_of(tmp_path / "out", hashed)
    assert {row.source for row in found} == {"a.jsonl", "production.jsonl"}
    assert len({row.group for row in found}) == 1
    other = write_lines(tmp_path / "b.jsonl", corrections)
    build([files[0], other], tmp_path / "out", dedupe=DedupeConfig(near=None))
    assert len(rows_of(tmp_path / "out", hashed)) == 2, "only production sources carry hashes already"


def test_an_empty_production_source_is_no_error(tmp_path: Path) -> None:
    files = [write_lines(tmp_path / "a.jsonl", rows(100)), write_lines(tmp_path / "production.jsonl", [])]
    assert build(files, tmp_path / "out").rows_in == 100


def test_rejects_hold_no_personal_text(tmp_path: Path) -> None:
    secret = "jo.needle@example.org"
    lines = [
        b'{"text": "' + secret.encode() + b'", "label": ',
        {"text": 5, "label": secret},
        {"text": "x" * 30_000 + secret, "label": "a"},
        {"text": f"write to {secret} now", "label": "a"},
        {"text": f"write to {secret} now", "label": "a"},
    ]
    build(write_lines(tmp_path / "a.jsonl", [*rows(60), *lines]), tmp_path / "out")
    written = " ".join(str(reject) for reject in rejects(tmp_path / "out"))
    assert len(rejects(tmp_path / "out")) == 4
    assert "needle" not in written


@pytest.mark.parametrize(
    ("lines", "parts", "message"),
    [
        ([], {}, "has no rows"),
        ([b"\n", b"  "], {}, "has no rows"),
        ([b"what", b"\xff"], {}, "none of 2 rows could be read; line 1 is malformed"),
        ([b'["a", "b"]'], {}, "line 1 is malformed: a JSON array, not an object"),
        ([{"txet": "a", "label": "b", "who": "c"}], {}, "no row has the field 'text'; fields seen: txet, label, who"),
        ([{"text": "a", "label": "b"}], {}, "no row has the field 'who'"),
        ([{**row, "who": "NaN"} for row in rows(60)], {}, "who, mapped as subject, is empty in all of 60 rows"),
        ([{**row, "label": "a"} for row in rows(60)], {}, "only one class: a"),
        (rows(60), {"validate": ValidateConfig(min_rows=1000)}, "60 rows are left, fewer than data.validate.min_rows"),
        ([*rows(60), {"text": "rare thing", "label": "c", "who": None}], {"validate": ValidateConfig()}, r"'c' \(1\)"),
        ([*rows(30), *[b"?"] * 40], {"validate": ValidateConfig()}, "40 of 70 rows were dropped.*40 malformed"),
        (rows(60), {"task": "chat", "split": SplitConfig(validation=0, test=1)}, "the train side has no rows"),
        (rows(60), {"task": "chat", "split": SplitConfig(validation=0, test=0.0001)}, "the test side has no rows"),
        ([{**row, "who": "one"} for row in rows(60)], {}, "the test side has no rows: the 60 rows form 1 groups"),
        (
            [*rows(60), {"text": "a new thing", "label": "</s>", "who": "q"}],
            {},
            r"markers of chat templates.*'</s>' \(1\)",
        ),
    ],
)
def test_bad_data_stops_with_the_cause_and_leaves_the_last_version_alone(
    tmp_path: Path, lines: list[dict[str, str] | bytes], parts: dict[str, object], message: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").write_text("kept")
    with pytest.raises(InputError, match=message) as caught:
        build(write_lines(tmp_path / "a.jsonl", lines), tmp_path / "out", **parts)
    assert caught.value.cure
    assert names_in(tmp_path) == ["a.jsonl", "out"]
    assert names_in(tmp_path / "out") == ["precious"]


def test_a_misspelt_field_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        build(write_lines(tmp_path / "a.jsonl", rows(30)), tmp_path / "out", fields=Fields(text="texts"))
    assert "fields.text to text" in caught.value.cure


def test_labels_outside_the_allowed_set_are_rejected(tmp_path: Path) -> None:
    lines = [*rows(60), {"text": "something new", "label": "zzz", "who": None}]
    allowed = ValidateConfig(min_rows=1, min_rows_per_label=1, labels=("a", "b"))
    version = build(write_lines(tmp_path / "a.jsonl", lines), tmp_path / "out", validate=allowed)
    assert version.dropped == {"unknown label": 1}
    assert version.labels == ("a", "b")


def test_two_sources_with_one_name_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", rows(30))
    with pytest.raises(ConfigError, match=r"two data sources are called 'a\.jsonl'"):
        build([path, path], tmp_path / "out")


def test_an_unwritable_folder_is_an_environment_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentMissing, match="cannot write"):
        build(write_lines(tmp_path / "a.jsonl", rows(30)), tmp_path / "file" / "out")


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import rows_on_disk, flyball.data.dataset_stage as building
def die(*_): os.kill(os.getpid(), signal.SIGKILL)
building.make_profile = die
rows_on_disk.build(Path(sys.argv[2]), Path(sys.argv[3]))
"""


def test_a_killed_run_leaves_the_last_version_and_the_next_run_gives_the_same_as_ever(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", rows(60))
    first = build(path, tmp_path / "out")
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    here = str(Path(__file__).parents[1] / "support")
    done = subprocess.run([sys.executable, "-c", KILLED, here, str(path), str(tmp_path / "out")], check=False)
    assert done.returncode == -9
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    assert fingerprint(build(path, tmp_path / "out")) == fingerprint(first)
    assert names_in(tmp_path) == ["a.jsonl", "out"]


def test_memory_does_not_grow_with_the_length_of_a_hostile_line(tmp_path: Path) -> None:
    lines = [*rows(60), b'{"text": "' + b"x" * 50_000_000 + b'"}', b"[" * 200_000, *rows(120)[60:]]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import rows_on_disk;"
        "from flyball.telemetry import peak_memory_mb;"
        "import pyarrow.parquet; before = peak_memory_mb();"
        "version = rows_on_disk.build(Path(sys.argv[2]), Path(sys.argv[3]));"
        "print(version.rows_in, version.dropped['line too long'], version.dropped['malformed']);"
        "print(peak_memory_mb() - before)"
    )
    path = write_lines(tmp_path / "a.jsonl", lines)
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parents[1] / "support"), str(path), str(tmp_path / "out")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    rows_in, long, malformed, grown = done.stdout.split()
    assert (rows_in, long, malformed) == ("122", "1", "1")
    assert float(grown) < 60


def test_a_person_is_one_however_a_row_writes_them_and_a_missing_value_is_nobody(tmp_path: Path) -> None:
    named: list[object] = [1005, "1005", 1005.0, " 1005 ", "1005.0"]
    nobody: list[object] = [None, "nan", "", "NULL"]
    lines: list[dict[str, object]] = [
        {**row, "who": who} for row, who in zip(rows(60), [*named, *nobody] * 6, strict=False)
    ]
    build(write_lines(tmp_path / "a.jsonl", lines), tmp_path / "out", dedupe=DedupeConfig(near=None))
    found = all_rows(tmp_path / "out")
    assert {row.subject for row in found} == {None, subject_hash(KEY, "1005")}
    assert len({row.group for row in found if row.subject is None}) > 20, "rows about nobody are not one group"


def test_an_identifier_that_cannot_be_one_rejects_its_row(tmp_path: Path) -> None:
    lines: list[dict[str, object]] = [*rows(30), {"text": "whose is this", "label": "a", "who": ["p1", "p2"]}]
    build(write_lines(tmp_path / "a.jsonl", lines), tmp_path / "out")
    assert "subject or group: a list is not an identifier" in [reject.detail for reject in rejects(tmp_path / "out")]
