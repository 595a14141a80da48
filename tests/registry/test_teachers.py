"""A teacher is a folder or a model of the project with its weights; anything else is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from flyball.errors import ConfigError, InputError
from flyball.records import name_of
from flyball.registry.aliases import FILE
from flyball.registry.teachers import find_teacher
from flyball.settings import parse_settings
from flyball.storage.artifacts import ArtifactStore
from flyball.storage.ledger import Ledger

from test_release_composition import MODEL  # isort: skip


def test_a_teacher_is_a_folder_or_a_model_with_its_weights(ledger: Ledger, tmp_path: Path) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")

    def find(teacher: str) -> tuple[Path, str | None]:
        return find_teacher(teacher, tmp_path / teacher, ledger=ledger, state=tmp_path, artifacts=artifacts)

    whole, converted = replace(MODEL, formats=("gguf:q8_0", "safetensors")), replace(MODEL, formats=("gguf:q8_0",))
    for model in (whole, converted):
        ledger.append(model)
        (tmp_path / "artifacts" / name_of(model)).mkdir(parents=True)
    (tmp_path / FILE).write_bytes(msgspec.json.encode({"champion": name_of(whole)}))
    (tmp_path / "folder").mkdir()
    assert find("folder") == (tmp_path / "folder", None)
    assert find("champion") == find(name_of(whole)[:12]) == (tmp_path / "artifacts" / name_of(whole), name_of(whole))
    with pytest.raises(InputError, match="which gives no probabilities"):
        find(name_of(converted))
    with pytest.raises(InputError, match="no such folder, and no such model"):
        find("nobody")


@pytest.mark.parametrize("train", [{"objective": "distillation"}, {"teacher": "champion"}])
def test_a_teacher_and_the_objective_go_together(train: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"train\.objective is .* train\.teacher is"):
        parse_settings(
            {
                "version": 1,
                "project": "shop",
                "task": "classification",
                "data": {"sources": [{"path": "a"}]},
                "train": train,
            }
        )
