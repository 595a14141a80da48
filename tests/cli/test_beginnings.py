"""Projects that begin elsewhere: a cloned example, a repository with its own pipeline, a data file, a model folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from refusals import contents, refused
from small_shop import flyball, ok, ok_lines

QUIET = {**os.environ, "DVC_NO_ANALYTICS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
THEIRS = """\
# How we make things here.
vars:
- threshold: 3
stages:
  # counts, on Mondays
  training:            # a name that we use too
    cmd: wc -l < raw.txt > counted.txt
    deps:
      - raw.txt
    outs:
      - counted.txt
  rows:
    cmd: cp raw.jsonl clean.jsonl && echo theirs ran
    deps: [raw.jsonl]
    outs: [clean.jsonl]
"""


def run(*command: str, cwd: Path) -> str:
    program = [sys.executable, "-m", "dvc", *command[1:]] if command[0] == "dvc" else list(command)
    done = subprocess.run(program, cwd=cwd, capture_output=True, text=True, env=QUIET)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def rows(path: Path, *, text: str = "text", label: str = "label", n: int = 200) -> None:
    """Rows of three labels that words tell apart."""
    words = {"refund": "money back", "delivery": "parcel arrive", "account": "password login"}
    with path.open("w") as file:
        for i in range(n):
            name = list(words)[i % 3]
            row = {text: f"please help with {words[name]} case {i} of {i * 7 % 31} today", label: name, "id": i}
            file.write(json.dumps(row) + "\n")


def test_a_cloned_example_inside_a_larger_repository_is_made_ready_by_its_first_build(
    shop: Path, tmp_path: Path
) -> None:
    outer = tmp_path / "theirs"
    example = outer / "examples/shop"
    example.mkdir(parents=True)
    for name in ("flyball.yaml", "tickets.jsonl"):
        shutil.copy(shop / name, example / name)
    run("git", "init", "-q", cwd=outer)
    made = flyball("data", "--json", cwd=example)
    assert made.code == 0 and "added DVC" in made.err, made.err
    assert (example / ".dvc").is_dir() and not (example / ".git").exists() and not (outer / ".dvc").exists()
    key = example / ".flyball/keys/project.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert "examples/shop/.flyball" not in run("git", "status", "--short", "-uall", cwd=outer)
    again = flyball("data", "--json", cwd=example)
    assert again.json["ran"] == [] and "added" not in again.err

    key.unlink()
    said = refused("run", cwd=example, code=4)
    assert ".flyball/keys/project.key" in said and "colleague" in said
    assert not key.exists(), "a second key would name the same rows and people differently"


def test_init_here_adds_to_a_repository_with_its_own_pipeline_and_breaks_nothing(tmp_path: Path) -> None:
    root = tmp_path / "existing"
    root.mkdir()
    run("git", "init", "-q", cwd=root)
    run("dvc", "init", "-q", cwd=root)
    (root / "dvc.yaml").write_text(THEIRS)
    (root / ".gitignore").write_text("*.tmp\n")
    (root / "raw.txt").write_text("a\nb\n")
    rows(root / "raw.jsonl")
    run("dvc", "repro", "-q", cwd=root)
    before = contents(root, but=(".dvc", ".git", "dvc.yaml"))

    said = refused("init", str(root), cwd=tmp_path, code=2)
    assert "not empty" in said and "--here" in said
    made = ok("init", "--here", "--from", "clean.jsonl", cwd=root)
    assert "flyball.yaml" in made["created"] and "dvc.yaml" in made["created"]

    text = (root / "dvc.yaml").read_text()
    for line in THEIRS.splitlines():
        assert line.strip() in text, f"{line} was lost"
    stages = yaml.safe_load(text)["stages"]
    assert stages["training"] == yaml.safe_load(THEIRS)["stages"]["training"]
    assert [name for name in stages if name.startswith("flyball-")] == [
        f"flyball-{name}" for name in ("dataset", "training", "model", "release", "evaluation")
    ]
    after = contents(root, but=(".dvc", ".git", "dvc.yaml"))
    assert {name: after[name] for name in before} == before
    assert "*.tmp" in (root / ".gitignore").read_text() and "/.flyball/" in (root / ".gitignore").read_text()
    assert "up to date" in run("dvc", "repro", "training", "rows", cwd=root)

    rows(root / "raw.jsonl", n=210)
    built = ok("data", cwd=root)
    assert built["ran"] == ["dataset"], "their stage made our source anew first"
    assert built["content"]["rows_in"] == 210
    assert "up to date" in run("dvc", "repro", "rows", "flyball-dataset", cwd=root)
    said = refused("init", "--here", cwd=root, code=2)
    assert "flyball.yaml exists already" in said


def test_init_from_a_file_explains_its_guesses_and_the_data_stage_works_on_it(tmp_path: Path) -> None:
    rows(tmp_path / "tickets.jsonl", text="message", label="intent")
    made = flyball("init", "triage", "--from", "tickets.jsonl", cwd=tmp_path)
    assert made.code == 0, made.err
    text = (tmp_path / "triage/flyball.yaml").read_text()
    settings = yaml.safe_load(text)
    source = settings["data"]["sources"][0]
    assert settings["task"] == "classification"
    assert source["fields"]["text"] == "message" and source["fields"]["label"] == "intent"
    assert text.startswith("# ") and text.count("   # ") >= 2, "the guesses are explained beside them"
    assert ok("data", cwd=tmp_path / "triage")["content"]["rows_in"] == 200


def test_init_from_csv_works_too_and_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    lines = [
        f"row number {i} says {'yes indeed' if i % 2 else 'no thanks'},{'yes' if i % 2 else 'no'}" for i in range(80)
    ]
    (tmp_path / "answers.csv").write_text("\n".join(["question,answer", *lines]) + "\n")
    ok("init", "--from", "answers.csv", cwd=tmp_path)
    root = tmp_path / "answers"
    assert ok("data", cwd=root)["content"]["labels"] == ["no", "yes"]
    for name, content in (("empty.jsonl", b""), ("broken.jsonl", b"\xff\xfe\x00"), ("notes.txt", b"hello\n")):
        (tmp_path / name).write_bytes(content)
        assert name in refused("init", "new", "--from", name, cwd=tmp_path, code=2)
        assert not (tmp_path / "new").exists()


def test_a_hugging_face_folder_is_imported_or_taken_as_base(shop: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some-llama"
    shutil.copytree(shop / "loop/training", folder)
    for name in ("record.json", "curve.json"):
        (folder / name).unlink(missing_ok=True)
    made = ok("import", str(folder), cwd=shop)
    assert made["model"]["content"]["training_run"] is None
    assert made["release"]["content"]["model"] == made["model"]["id"]
    assert (shop / ".flyball/artifacts" / made["model"]["id"] / "model.gguf").is_file()
    assert made == ok("import", str(folder), cwd=shop), "the same folder is the same model"
    row = next(row for row in ok_lines("models", cwd=shop) if row["model"] == made["model"]["id"])
    assert "tokens" in row["agreement"] and "nats on average" in row["agreement"]

    settings = (shop / "flyball.yaml").read_text()
    settings = settings.replace("method: scratch", f"method: finetune\n  base: {folder}").replace(
        "steps: 30", "steps: 5"
    )
    (shop / "flyball.yaml").write_text(settings)
    tuned = ok("train", cwd=shop)
    assert tuned["content"]["method"] == "finetune" and tuned["content"]["base_model"]

    shutil.rmtree(folder)
    said = refused("train", cwd=shop, code=4)
    assert str(folder) in said
    folder.mkdir()
    assert str(folder.name) in refused("import", str(folder), cwd=shop, code=2)
    assert "nowhere" in refused("import", "nowhere", cwd=shop, code=2)
