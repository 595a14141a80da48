"""What a user can get wrong in the command line, in flyball.yaml and in the rows: each with cause, value and cure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from refusals import TINY, contents, refused
from small_shop import flyball, ok

SETTINGS = {
    "an unknown section": (TINY + "trian: {steps: 3}\n", "unknown key trian", "did you mean train?"),
    "an unknown key": (TINY + "train: {step: 3}\n", "unknown key train.step", "did you mean train.steps?"),
    "an unknown key in a list": (TINY.replace("fields", "feilds"), "data.sources[0].feilds", "data.sources[0].fields"),
    "a rule on a suite that is not run": (
        TINY + "gate: {rules: [{measure: exact_match, suite: tests, at_least: 0.5}]}\n",
        *("the suites are test, invariance", "did you mean test?"),
    ),
    "a rule on what nothing measures": (
        TINY + "gate: {rules: [{measure: acuracy, at_least: 0.5}]}\n",
        *("'acuracy', which test does not measure", "did you mean accuracy?"),
    ),
    "an unknown key in a rule": (TINY + "gate: {rules: [{measure: m, atleast: 1}]}\n", "rules[0].atleast", "at_least"),
    "a missing key": (TINY.replace("version: 1\n", ""), "the key version is missing", "add version"),
    "a missing nested key": ("version: 1\nproject: shop\ndata: {}\n", "data.sources is missing", "add data.sources"),
    "no source": ("version: 1\nproject: shop\ndata: {sources: []}\n", "data.sources is []", "not empty"),
    "a wrong type": (TINY + "train: {steps: many}\n", "train.steps is 'many'", "a whole number"),
    "a value out of range": (TINY + "train: {steps: -1}\n", "train.steps is -1", ">= 1"),
    "a word that is not one of those allowed": (TINY + "task: chatt\n", "'chatt', not one of", "did you mean chat?"),
    "a bad name": (TINY.replace("shop", "My Shop"), "project is 'My Shop'", "a-z0-9"),
    "a version that is not known": (TINY.replace("version: 1", "version: 9"), "version is 9", "1"),
    "a key given twice": (TINY + "project: two\n", "the key project is given twice", "fix the line"),
    "what is no YAML": ("version: 1\n  project: [shop\n", "is not YAML", "line 2"),
    "a tab": ("version: 1\n\tproject: shop\n", "found a tab", "line 2"),
    "nothing": ("", "is empty", "flyball init"),
    "a list": ("- a\n", "holds a list", "flyball init"),
    "splits that leave nothing": (TINY + "  split: {validation: 0.5, test: 0.5}\n", "holds out 1 of", "lower"),
    "finetune without a base": (TINY + "train: {method: finetune}\n", "train.base is missing", "set train.base"),
    "lora without a base": (TINY + "train: {method: lora}\n", "method is lora, but train.base is", "set train.base"),
    "lora that trains no layer": (TINY + "train: {lora: {targets: []}}\n", "train.lora.targets is []", "not empty"),
    "preferences from scratch": (
        TINY + "task: chat\ntrain: {objective: dpo}\n",
        *("objective is dpo, train.method is scratch", "train.method: lora or finetune"),
    ),
    "preferences between labels": (
        TINY + "train: {objective: dpo, method: lora, base: b}\n",
        *("objective is dpo, task is classification", "task: chat"),
    ),
    "preferences without rejected answers": (
        TINY + "task: chat\ntrain: {objective: dpo, method: lora, base: b}\n",
        *("no source has rejected answers", "data.sources[].fields.rejected"),
    ),
    "an objective of what makes no steps": (
        TINY + "train: {objective: dpo, method: command, command: x}\n",
        *("objective is dpo, train.method is command", "leave train.objective out"),
    ),
    "heads that do not fit": (TINY + "train: {size: {hidden: 100, heads: 3}}\n", "100 hidden, 3 heads", "multiple"),
    "shrinking canary steps": (TINY + "rollout: {canary_steps: [0.5, 0.1]}\n", "[0.5, 0.1]", "growing"),
    "nesting without end": (TINY + "x: " + "[" * 5000 + "\n", "nesting depth", "fix the line"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_are_refused_with_key_value_and_cure_for(case: str, tmp_path: Path) -> None:
    text, cause, cure = SETTINGS[case]
    (tmp_path / "flyball.yaml").write_text(text)
    said = refused("status", cwd=tmp_path, code=2)
    assert cause in said and cure in said and "flyball.yaml" in said
    assert contents(tmp_path) == {"flyball.yaml": text.encode()}, "nothing was written"


def test_settings_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "flyball.yaml").write_bytes(b"version: 1\nproject: caf\xe9\n")
    said = refused("run", cwd=tmp_path, code=2)
    assert "not UTF-8" in said and "0xe9" in said


USAGE: dict[tuple[str, ...], tuple[int, str, str]] = {
    ("up", "--port", "99999"): (2, "99999 is not in the range", "flyball up --help"),
    ("key", "create", "a", "--days", "-1"): (2, "-1", "flyball key create --help"),
    ("rum",): (2, "no command rum", "Did you mean run?"),
    ("qqqqqqqq",): (2, "no command qqqqqqqq", "flyball --help"),
    ("run", "--no-depoly"): (2, "--no-depoly", "--no-deploy"),
    ("run", "extra"): (2, "extra", "flyball run --help"),
    ("deploy",): (2, "RELEASE", "flyball deploy --help"),
    ("deploy", "x", "--strategy", "big-bang"): (2, "big-bang", "blue-green"),
    ("feedback", "x", "--score", "7"): (2, "7", "0<=x<=1"),
    ("status",): (4, "no flyball.yaml", "flyball init"),
    ("run", "-C", "nowhere"): (4, "nowhere", "flyball init"),
    ("doctor", "-C", "nowhere"): (2, "-C", "flyball doctor --help"),
    ("init", "--from", "nowhere.jsonl"): (2, "nowhere.jsonl", "JSONL, JSON, CSV or Parquet"),
    ("evaluate", "http://127.0.0.1:9"): (2, "no suite", "--suite"),
    ("evaluate", "127.0.0.1", "--suite", "cases.jsonl"): (2, "127.0.0.1", "http://"),
    ("gateway", "--upstream", "127.0.0.1:9", "--port", "0"): (2, "127.0.0.1:9", "http://"),
    ("gateway", "--upstream", "http://127.0.0.1:9", "--config", "no.yaml", "--port", "0"): (2, "no.yaml", "gateway:"),
}


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_a_wrong_command_line_is_refused(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text('{"text": "a", "label": "b"}\n')
    code, cause, cure = USAGE[arguments]
    said = refused(*arguments, cwd=tmp_path, code=code)
    assert cause in said and cure in said
    assert set(contents(tmp_path)) == {"cases.jsonl"}, "nothing was written"


ROW = '{"text": "where is order %d", "label": "%s"}\n'
GOOD = "".join(ROW % (i, "where" if i % 2 else "when") for i in range(60))
ROWS = {
    "are not UTF-8": (GOOD.replace("order", "заказ").encode("cp1251"), "may be cp1251", "data.sources[].encoding"),
    "are not JSON": (b"text,label\na,b\n" * 30, "line 1 is malformed", "one JSON object a line"),
    "are a JSON array cut short": (b"[" + GOOD.encode().replace(b"}\n", b"},\n"), "is not a JSON document", "jq"),
    "are none": (b"", "has no rows", "at least one row"),
    "are blank": (b"\n\n \n", "has no rows", "at least one row"),
    "are of one class only": (GOOD.replace("when", "where").encode(), "only one class: where", "task: chat"),
    "lack a field": (GOOD.replace('"label"', '"lable"').encode(), "no row has the field 'label'", "lable"),
    "are too few": (GOOD[:300].encode(), "fewer than data.validate.min_rows (20)", "add rows"),
    "are all the same": ((ROW % (1, "where") * 60).encode(), "of 60 rows were dropped", "max_dropped"),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_stage_refuses_rows_that(case: str, built_once: Path, tmp_path: Path) -> None:
    raw, cause, cure = ROWS[case]
    tiny_project(tmp_path, built_once, raw)
    result = flyball("stage", "dataset", cwd=tmp_path)
    assert result.code == 2 and "Traceback" not in result.err
    assert "rows.jsonl" in result.err or "only one class" in result.err or "rows" in result.err
    assert cause in result.err and cure in result.err
    assert set(contents(tmp_path, but=(".flyball",))) == {"flyball.yaml", "rows.jsonl"}, "nothing half-written"


def tiny_project(root: Path, built: Path, raw: bytes) -> None:
    """A project without git or DVC over these rows, as far as one stage needs it."""
    (root / "flyball.yaml").write_text(TINY)
    (root / "rows.jsonl").write_bytes(raw)
    (root / ".flyball/keys").mkdir(parents=True)
    key = root / ".flyball/keys/project.key"
    key.touch(0o600)
    key.write_bytes((built / ".flyball/keys/project.key").read_bytes())


def test_a_stage_that_fails_gives_its_command_its_message_and_exit_code(shop: Path) -> None:
    before = contents(shop / "loop", but=("dataset",))
    (shop / "tickets.jsonl").write_bytes(b"")
    said = refused("data", cwd=shop, code=2)
    assert said.startswith("tickets.jsonl has no rows")
    plain = flyball("run", cwd=shop)
    assert plain.code == 2 and plain.out == "", "without --json nothing is on standard output"
    assert "dvc" not in plain.err.lower() and plain.err.count("has no rows") == 1
    assert contents(shop / "loop", but=("dataset",)) == before
    (shop / "tickets.jsonl").unlink()
    assert "tickets.jsonl is not there" in refused("run", cwd=shop, code=4)


def test_a_source_that_is_not_there_is_named_before_anything_is_prepared(tmp_path: Path) -> None:
    for path, code, cause in (
        ("'${NOWHERE}/rows.jsonl'", 2, "variable NOWHERE is not set"),
        ("rows.jsonl", 4, "rows.jsonl is not there"),
    ):
        (tmp_path / "flyball.yaml").write_text(TINY.replace("rows.jsonl", path))
        assert cause in refused("run", cwd=tmp_path, code=code)
        assert set(contents(tmp_path, but=(".flyball/run",))) == {"flyball.yaml"}
    (tmp_path / "rows.jsonl.dvc").write_text("outs: []\n")
    assert "run `dvc pull rows.jsonl.dvc`" in refused("run", cwd=tmp_path, code=4), "as in a fresh clone"


@pytest.mark.parametrize("method", ["scratch", "finetune", "lora"])
def test_a_context_that_the_model_cannot_read_is_refused_before_training(method: str, tmp_path: Path) -> None:
    size = "size: {context: 128}" if method == "scratch" else "base: base"
    release = "release: {engine: {kind: vllm, context: 512}}\n"
    (tmp_path / "flyball.yaml").write_text(TINY + release + f"train: {{method: {method}, {size}}}\n")
    (tmp_path / "rows.jsonl").write_text(GOOD)
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text('{"max_position_embeddings": 128}')
    before = contents(tmp_path)
    said = refused("run", cwd=tmp_path, code=2)
    assert "release.engine.context is 512, the model will read 128 tokens" in said and "set it to at most that" in said
    assert contents(tmp_path, but=(".flyball/run",)) == before, "nothing was prepared"


def test_rows_are_made_and_people_erased_whatever_the_release_asks_for(shop: Path) -> None:
    settings = shop / "flyball.yaml"
    settings.write_text(settings.read_text().replace("engine: {", "engine: {context: 99999, "))
    assert "release.engine.context is 99999" in refused("run", cwd=shop, code=2)
    person = json.loads((shop / "tickets.jsonl").read_bytes().splitlines()[0])["customer_id"]
    for command in (("data",), ("subject", "erase", person)):
        done = flyball(*command, cwd=shop)
        assert done.code == 0, done.err


def test_an_erasure_that_finds_nobody_says_so_and_offers_names_nearby(shop: Path) -> None:
    person = json.loads((shop / "tickets.jsonl").read_bytes().splitlines()[0])["customer_id"]
    done = flyball("subject", "erase", person.lower().replace("c0", "c"), "--json", cwd=shop)
    assert done.code == 4
    assert done.json["signature"], "the receipt over nothing is a receipt"
    assert "nothing was found of" in done.err and person in done.err.partition("near it: ")[2]


def test_an_erasure_tells_the_names_that_differ_in_their_spelling_alone(shop: Path) -> None:
    first = json.loads((shop / "tickets.jsonl").read_bytes().splitlines()[0])
    person = first["customer_id"]
    with (shop / "tickets.jsonl").open("a") as file:
        file.write(json.dumps({**first, "customer_id": person.lower()}) + "\n")
    done = flyball("subject", "erase", person, "--json", cwd=shop)
    assert done.code == 0 and done.json["found"] is True
    assert f"alone were left: '{person.lower()}'" in done.err
    again = flyball("subject", "erase", person.lower(), "--json", cwd=shop)
    assert again.code == 0 and "alone were left" not in again.err


def test_a_dataset_that_breaks_a_rule_leaves_the_last_version_where_it_is(shop: Path) -> None:
    settings = shop / "flyball.yaml"
    person = json.loads((shop / "tickets.jsonl").read_bytes().splitlines()[0])["customer_id"]
    before = contents(shop / "loop/dataset")
    held = ok("subject", "export", person, cwd=shop)["others"]["rows"]
    settings.write_text(settings.read_text().replace("\ntrain:", "\n  validate: {min_rows: 100000}\ntrain:"))
    assert "fewer than data.validate.min_rows" in refused("data", cwd=shop, code=2)
    assert contents(shop / "loop/dataset") == before
    assert ok("subject", "export", person, cwd=shop)["others"]["rows"] == held != []


def test_damaged_files_of_dvc_are_named(shop: Path) -> None:
    pipeline, lock = (shop / "dvc.yaml").read_text(), (shop / "dvc.lock").read_text()
    (shop / "dvc.lock").write_text("{")
    said = refused("run", cwd=shop, code=2)
    assert "dvc.lock is not YAML" in said and "restore it from git" in said
    (shop / "dvc.lock").write_text(lock)
    (shop / "dvc.yaml").write_text("stages: [\n")
    assert "dvc.yaml is not YAML" in refused("run", cwd=shop, code=2)
    (shop / "dvc.yaml").write_text(pipeline + "  theirs: {cmd: 3}\n")
    said = refused("run", cwd=shop, code=2)
    assert "dvc.yaml" in said and "theirs -> cmd" in said and "dvc.log" in said


def test_dvc_repro_by_hand_still_shows_the_message(shop: Path) -> None:
    (shop / "tickets.jsonl").write_bytes(b"")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "dataset"],
        cwd=shop,
        env={**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "tickets.jsonl has no rows" in done.stderr and "Traceback" not in done.stderr
