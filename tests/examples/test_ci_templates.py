"""The templates for GitHub and GitLab: valid YAML whose commands exist, and which run as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from chat_server import chat_server
from flyball.cli.main import cli

CI = Path(__file__).parents[2] / "examples/ci"
TEMPLATES = (CI / "github/action.yml", CI / "gitlab.yml")
PAGES = {"report.html", "report.json", "report.md", "junit.xml", "items.jsonl"}


def scripts(path: Path) -> list[str]:
    """The shell code of a template."""
    document: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "runs" in document:
        return [step["run"] for step in document["runs"]["steps"] if "run" in step]
    job = document["flyball-evaluate"]
    return [*job["script"], *job["after_script"]]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_each_command_of_a_template_has_the_options_that_it_is_given(path: Path) -> None:
    code = "\n".join(scripts(path))
    command = cli.get_command(click.Context(cli), "evaluate")
    assert command is not None and re.findall(r"^\s*flyball (\w+)", code, re.M) == ["evaluate"]
    known = {name for one in command.params for name in one.opts}
    used = {"--model", "--out", "--suite", "--gate", "--api-key"}
    assert used <= known and used <= set(re.findall(r"--[a-z-]+", code))
    others = {"--quiet", "--repo", "--body-file", "--fail", "--silent", "--show-error", "--output", "--header"}
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", code)) <= used | others | {"--data-urlencode"}
    for script in scripts(path):
        assert subprocess.run(["bash", "-n", "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_secret_and_keeps_every_file_of_a_report(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(sk-|ghp_|glpat-)\w", text) and "report.md" in text and "junit" in text
    document = yaml.safe_load(text)
    if "runs" in document:
        (kept,) = [step["with"]["path"] for step in document["runs"]["steps"] if "upload" in step.get("uses", "")]
        assert {line.rpartition("/")[2] for line in kept.split() if line.endswith(tuple(PAGES))} == PAGES
        inputs = set(document["inputs"])
        assert set(re.findall(r"\binputs\.([a-z-]+)", text)) == inputs
        for script in scripts(path):
            assert "${{" not in script  # what a caller gives reaches the shell as variables alone


@pytest.mark.parametrize(("path", "prefix"), [(TEMPLATES[0], ""), (TEMPLATES[1], "FLYBALL_")], ids=["github", "gitlab"])
@pytest.mark.parametrize(("answer", "code"), [("yes", 0), ("no", 3)])
def test_the_script_ends_as_the_gate_says(tmp_path: Path, path: Path, prefix: str, answer: str, code: int) -> None:
    (tmp_path / "cases.jsonl").write_text(
        "".join(json.dumps({"text": f"is {k} a number?", "label": "yes"}) + "\n" for k in range(60))
    )
    (tmp_path / "gate.yaml").write_text("rules:\n- {measure: exact_match, at_least: 0.9}\n")
    (script,) = (one for one in scripts(path) if "flyball evaluate" in one)
    values = {"MODEL": "m", "SUITES": "cases.jsonl", "GATE": "gate.yaml", "API_KEY": "env:KEY", "OUT": "report"}
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / "flyball").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flyball "$@"\n')
    (bin_folder / "flyball").chmod(0o755)
    with chat_server(lambda _text, _n: answer) as server:
        given = {prefix + name: value for name, value in (values | {"URL": server.url}).items()}
        environment = {**os.environ, **given, "KEY": "k", "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == code, done.stderr
    assert {one.name for one in (tmp_path / "report").iterdir()} == PAGES
