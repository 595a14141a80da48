"""Training runs again when what its rows are rendered with changes, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.dvc.pipeline import stages
from flyball.settings import load_settings
from flyball.wiring import Project

SETTINGS = """\
version: 1
project: shop
task: classification
data: {{sources: [{{path: rows.jsonl}}]}}
train: {{method: {method}}}
release: {release}
"""


def parameters(root: Path, release: str, method: str = "scratch") -> list[str]:
    """What the training stage reads of flyball.yaml."""
    (root / "flyball.yaml").write_text(SETTINGS.format(method=method, release=release))
    project = Project(root=root, settings=load_settings(root))
    wanted: list[str] = stages(project, ["project", "task", "train", "release"])["training"]["params"][0][
        "flyball.yaml"
    ]
    return wanted


@pytest.mark.parametrize(
    ("release", "read"),
    [
        ("{sampling: {temperature: 0.5}}", []),
        ("{system_prompt: null, examples: []}", []),
        ("{system_prompt: Be kind.}", ["release.system_prompt"]),
        (
            "{system_prompt: Be kind., examples: [{user: a, assistant: b}]}",
            ["release.system_prompt", "release.examples"],
        ),
        ("{constraint: none}", ["release.constraint"]),
    ],
)
def test_training_depends_on_what_the_release_puts_first(tmp_path: Path, release: str, read: list[str]) -> None:
    assert parameters(tmp_path, release) == ["project", "task", "train", *read]


def test_a_command_of_the_users_renders_as_it_likes(tmp_path: Path) -> None:
    assert parameters(tmp_path, "{system_prompt: Be kind.}", "command, command: x") == ["project", "task", "train"]
