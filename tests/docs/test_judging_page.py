"""The commands of docs/how-to/judge.md run as written, against a project with a canary under way."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from flyball.records import ModelVersion, name_of
from flyball.storage.artifacts import file_refs
from flyball.storage.deployments import move_pointer
from flyball.storage.ledger import open_ledger
from flyball.storage.traffic import feedback_of
from judged_traffic import SECRET, Canary, project_on
from small_shop import flyball
from tiny_gguf import tiny_release, write_tiny_gguf

PAGE = Path(__file__).parents[2] / "docs/how-to/judge.md"
SETTINGS = """\
version: 1
project: shop
data: {sources: [{path: rows.jsonl}]}
rollout: {judge_share: 1.0}
security: {project_key: "env:SHOP_KEY"}
"""


def commands() -> list[list[str]]:
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.S)
    return [line.removeprefix("$ ").split()[1:] for block in blocks for line in block.splitlines()]


def test_the_commands_of_the_page_run_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", SECRET)
    root = tmp_path / "shop"
    (root / ".flyball").mkdir(parents=True)
    (root / "flyball.yaml").write_text(SETTINGS)
    ledger = open_ledger(f"sqlite:///{root}/.flyball/ledger.db", project="shop")
    project, canary = project_on(ledger, root), Canary(ledger)
    folder = root / "model"
    folder.mkdir()
    write_tiny_gguf(folder / "model.gguf", printable=True)
    files = file_refs(folder)
    model = ModelVersion(
        project="shop",
        training_run=None,
        dataset=None,
        architecture="llama",
        parameters=28_000,
        context_length=256,
        formats=("gguf",),
        files=files,
        chat_template="",
    )
    ledger.append(model)
    project.artifacts.put(name_of(model), folder, files)
    live, candidate = (tiny_release(model=name_of(model), slots=slots) for slots in (1, 2))
    for release in (live, candidate):
        ledger.append(release)
    with ledger.begin() as connection:
        move_pointer(connection, "shop", "shop", release=name_of(live), deployment="old")
    asked = [canary.ask(f"u{n}", canary=n % 2 == 1) for n in range(6)]
    for command in commands():
        result = flyball(*[name_of(candidate) if word == "RELEASE" else word for word in command], cwd=root)
        assert result.code == 0, f"{command}: {result.code}\n{result.out}\n{result.err}"
        if "--json" in command:
            lines = [json.loads(line) | {"score": 1} for line in result.out.splitlines()]
            assert len(lines) == 6
            (root / "verdicts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if command[0] == "replay":
            assert "6" in result.out and "inconclusive" in result.out
    assert [feedback_of(ledger, one.id)[0].judge for one in asked] == ["ann"] * 6
    ledger.close()
    assert flyball("judge", "open", "--json", cwd=root).out == ""
