"""A model that somebody has already goes from import to a deployment: a GGUF file, a folder, a server elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flyball.settings import load_settings
from small_models import engine
from small_shop import flyball, ok, ok_lines
from tiny_gguf import TEMPLATE, write_tiny_gguf


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as one GGUF file."""
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf", printable=True)


@pytest.fixture(scope="module")
def desk(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project around it that trains nothing."""
    root = tmp_path_factory.mktemp("around") / "desk"
    ok("init", str(root), "--model", str(tiny), cwd=root.parent)
    settings = (root / "flyball.yaml").read_text().replace("max_tokens: 128", "max_tokens: 8")
    (root / "flyball.yaml").write_text(settings)
    return root


@pytest.fixture(scope="module")
def elsewhere(tiny: Path) -> Iterator[str]:
    """The model behind somebody else's OpenAI-compatible server."""
    with engine(tiny, context=128, slots=1) as url:
        yield f"{url}/v1"


def test_a_project_around_a_gguf_file_builds_and_deploys_without_any_training(desk: Path, tiny: Path) -> None:
    made = ok("run", cwd=desk)
    assert made["ran"] == ["dataset", "model", "release", "evaluation"]
    model = made["model"]["content"]
    assert (model["training_run"], model["dataset"], made["training_run"]) == (None, None, None)
    assert (model["formats"], model["architecture"], model["context_length"]) == (["gguf:f32"], "llama", 256)
    assert made["release"]["content"]["chat_template"] == model["chat_template"] == TEMPLATE
    assert made["gate"]["content"]["verdict"] == "pass" and made["deployment"]["state"] == "requested"
    assert "training" not in yaml.safe_load((desk / "dvc.yaml").read_text())["stages"]
    stored = desk / ".flyball/artifacts" / made["model"]["id"] / "model.gguf"
    assert stored.read_bytes() == tiny.read_bytes()
    assert ok("run", cwd=desk)["ran"] == []
    assert "no stage training" in flyball("train", cwd=desk).err


def test_a_server_elsewhere_is_imported_evaluated_gated_and_deployed_by_name(desk: Path, elsewhere: str) -> None:
    made = ok("import", elsewhere, cwd=desk)
    release, engine = made["release"]["id"], made["release"]["content"]["engine"]
    assert engine["kind"] == "openai" and engine["flags"]["url"] == elsewhere
    assert made["model"]["content"]["files"] == [] and made["model"]["content"]["formats"] == ["elsewhere"]
    early = flyball("deploy", release, cwd=desk)
    assert early.code == 3 and f"flyball evaluate {release[:12]} && flyball gate {release[:12]}" in early.err
    assert flyball("gate", release[:12], cwd=desk).code == 6
    report = ok("evaluate", release[:12], cwd=desk)["evaluation"]
    assert report["content"]["release"] == release and report["content"]["failures"] == 0
    assert ok("gate", release[:12], cwd=desk)["content"]["verdict"] == "pass"
    assert ok("deploy", release[:12], "--route", "theirs", cwd=desk)["content"]["release"] == release
    row = next(row for row in ok_lines("models", cwd=desk) if row["release"] == release)
    assert (row["gate"], row["agreement"]) == ("pass", "not checked: its weights are at a server elsewhere")


def test_what_cannot_be_a_model_is_refused_with_what_to_do(desk: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.gguf").write_text("hello")
    (tmp_path / "model.safetensors").write_bytes(b"x")
    for source, code, words in (
        ("notes.gguf", 5, "not a GGUF file"),
        ("nowhere", 2, "neither a folder nor a file"),
        ("model.safetensors", 2, "give its folder"),
        ("http://127.0.0.1:9/v1", 5, "does not answer"),
    ):
        path = source if "://" in source else str(tmp_path / source)
        refused = flyball("import", path, cwd=desk)
        assert refused.code == code and words in refused.err, refused.err
    assert "is a ModelVersion, not a release" in flyball("gate", ok_lines("models", cwd=desk)[0]["model"], cwd=desk).err


def test_free_answers_without_a_model_are_refused_with_why_and_what_to_give(tiny: Path, tmp_path: Path) -> None:
    rows = [
        json.dumps({"question": f"why is number {n} odd?", "answer": f"because {n} is not even"}) for n in range(60)
    ]
    (tmp_path / "chats.jsonl").write_text("\n".join(rows) + "\n")
    refused = flyball("init", "desk", "--from", "chats.jsonl", cwd=tmp_path)
    assert refused.code == 2 and "--model PATH|URL" in refused.err and "no model learns to talk" in refused.err
    assert not (tmp_path / "desk").exists()
    ok("init", "desk", "--from", "chats.jsonl", "--model", str(tiny), cwd=tmp_path)
    settings = load_settings(tmp_path / "desk")
    assert (settings.task, settings.train.method, settings.release.engine.context) == ("chat", "none", 256)
    assert {rule.measure for rule in settings.gate.rules} == {"answered", "chrf"}
    assert flyball("init", "x", "--model", "nowhere.gguf", cwd=tmp_path).code == 2
    assert not (tmp_path / "x").exists()


def test_rows_of_two_questions_go_from_a_file_to_a_gate_with_both_asked(tiny: Path, tmp_path: Path) -> None:
    rows = [
        {"question_id": n, "turns": [f"Write a short note number {n} for me.", f"Now say it in {n} words."]}
        for n in range(40)
    ]
    (tmp_path / "bench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = ok("init", "bench", "--from", "bench.jsonl", "--model", str(tiny), cwd=tmp_path)
    assert not [note for note in made["notes"] if "15 % test" in note], "all rows are cases"
    root = tmp_path / "bench"
    settings = (root / "flyball.yaml").read_text().replace("max_tokens: 128", "max_tokens: 4")
    (root / "flyball.yaml").write_text(settings)
    built = ok("run", cwd=root)
    assert built["gate"]["content"]["verdict"] == "pass" and built["evaluation"]["asked"] == 40
    report = json.loads((root / "loop/evaluation/report.json").read_text())
    assert report["details"]["notes"] == ["test: 40 cases ask on after the model's own answer; the last answer counts"]
    assert report["details"]["prompt_tokens"] / 40 > 80, "the last prompt holds both questions"
