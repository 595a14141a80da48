"""`flyball classifier`: train on generated rows, show, score; and what a user can get wrong."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flyball.cli.main import run
from invented_insults import invented_texts, write_invented

COLUMNS = ("--text", "words", "--label", "kind", "--positive", "rude")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("classifier") / "shop"
    assert run(["init", str(root)]) == 0
    rows = write_invented(root / "rows.jsonl")
    learn = ["classifier", "train", "rude", "-C", str(root), "--data", str(rows), *COLUMNS, "--licence", "CC0"]
    assert run(learn) == 0
    return root


@pytest.fixture
def shop(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "shop"))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    found: dict[str, Any] = msgspec.json.decode(capsys.readouterr().out)
    return found


def test_it_learns_what_the_labels_say_and_its_counts_are_of_held_out_rows(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = told(capsys, "classifier", "show", "rude", "-C", str(trained))
    assert shown["positive"] == "rude" and shown["negative"] == ["kind"]
    assert 0.88 < shown["held_out_macro_f1"] <= 1.0
    assert shown["interval"][0] < shown["held_out_macro_f1"] <= shown["interval"][1]
    counted = sum(shown[name] for name in ("true_positives", "false_negatives", "false_positives", "true_negatives"))
    assert counted + shown["trained_on"] + shown["chosen_on"] == 1200 and 80 < counted < 160
    digest = hashlib.sha256((trained / "rows.jsonl").read_bytes()).hexdigest()
    header = msgspec.json.decode((trained / "classifiers/rude/header.json").read_bytes())
    assert header["data"] == [{"name": "rows.jsonl", "sha256": digest, "rows": 1200, "licence": "CC0"}]


def test_new_texts_are_told_apart(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = invented_texts(200, seed=2)
    (tmp_path / "texts.txt").write_text("\n".join(text for text, _ in texts) + "\n")
    capsys.readouterr()
    assert (
        run(["classifier", "score", "rude", "-C", str(trained), "--file", str(tmp_path / "texts.txt"), "--json"]) == 0
    )
    rows = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    right = sum(row["positive"] == (label == "rude") for row, (_, label) in zip(rows, texts, strict=True))
    assert right > 180
    told_of = [row["probability"] for row in rows]
    assert all(0 <= one <= 1 for one in told_of)


def test_the_same_rows_give_the_same_bytes(shop: Path) -> None:
    folder = shop / "classifiers/rude"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"header.json", "weights.safetensors"}
    again = ["classifier", "train", "rude", "-C", str(shop), "--data", str(shop / "rows.jsonl"), *COLUMNS]
    assert run(again) == 2, "nothing is replaced unasked"
    assert run([*again, "--licence", "CC0", "--replace"]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["rude"]


@pytest.mark.parametrize("name", ["../rude", "", "a/b", ".hidden", "x" * 65])
def test_a_name_is_no_path(trained: Path, name: str) -> None:
    assert run(["classifier", "show", name, "-C", str(trained)]) == 2


def test_what_a_user_can_get_wrong(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, few = str(trained / "rows.jsonl"), str(write_invented(tmp_path / "few.jsonl", 60))
    train = ["classifier", "train", "new", "-C", str(trained), "--data"]
    for arguments, code, said in (
        ([*train, rows], 2, "no row has the label '1'"),
        ([*train, rows, "--text", "words", "--label", "kind", "--positive", "RUDE"], 2, "rude ("),
        ([*train, few, *COLUMNS], 2, "too few"),
        ([*train, str(tmp_path / "none.jsonl"), *COLUMNS], 4, "no file"),
        ([*train, rows, *COLUMNS, "--licence", "A", "--licence", "B"], 2, "2 licences for 1 files"),
        (["classifier", "show", "nothing", "-C", str(trained)], 4, "classifier train nothing"),
    ):
        capsys.readouterr()
        assert run(arguments) == code
        assert said in capsys.readouterr().err
    assert [path.name for path in (trained / "classifiers").iterdir()] == ["rude"]


def test_a_damaged_folder_is_named(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, header = shop / "classifiers/rude/weights.safetensors", shop / "classifiers/rude/header.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert run(["classifier", "show", "rude", "-C", str(shop)]) == 5
    assert "is not the file that header.json names" in capsys.readouterr().err
    weights.write_bytes(whole)
    header.write_text(header.read_text().replace('"linear"', '"deep"'))
    assert run(["classifier", "show", "rude", "-C", str(shop)]) == 2
    header.write_text("{")
    assert run(["classifier", "show", "rude", "-C", str(shop)]) == 5


def test_another_program_reads_the_weights(trained: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    found = safetensors.load_file(trained / "classifiers/rude/weights.safetensors")["weights"]
    assert (found.dtype.name, found.shape) == ("int8", (1 << 18,)) and found.any()
