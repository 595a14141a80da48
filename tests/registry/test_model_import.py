"""A model folder from elsewhere becomes a version without running anything in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flyball.errors import InputError, RefusedError
from flyball.registry.config import PackageConfig
from flyball.registry.model_import import import_model


@pytest.fixture
def folder(packaged, tmp_path: Path) -> Path:
    """A Hugging Face folder somewhere on disk."""
    copied = tmp_path / "elsewhere"
    shutil.copytree(packaged.training, copied)
    return copied


def taken_in(folder: Path, out: Path):
    return import_model(folder, config=PackageConfig(), project="shop", out=out)


def test_an_imported_model_has_no_run_and_keeps_its_own_template(packaged, folder, tmp_path):
    template = "{% for message in messages %}[{{ message['content'] }}]{% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    model = taken_in(folder, tmp_path / "out")
    assert (model.training_run, model.dataset) == (None, None)
    assert model.chat_template == template
    assert (tmp_path / "out" / "model.gguf").is_file()
    assert model.parameters == packaged.model.parameters


@pytest.mark.parametrize("name", ["pytorch_model.bin", "sub/state.pkl", "modeling_own.py", "OPTIMIZER.PT"])
def test_pickles_and_code_are_refused_by_name(folder, tmp_path, name):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"anything")
    with pytest.raises(RefusedError, match="is a pickle or code"):
        taken_in(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_remote_code_is_refused(folder, tmp_path, name):
    document = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**document, "auto_map": {"AutoModel": "modeling_own.Own"}}))
    with pytest.raises(RefusedError, match="code of its own"):
        taken_in(folder, tmp_path / "out")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_is_refused_with_its_name(folder, tmp_path, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=r"has no (\.safetensors|\w+\.json)"):
        taken_in(folder, tmp_path / "out")


def test_a_base_model_without_a_chat_template_is_refused(folder, tmp_path):
    document = json.loads((folder / "tokenizer_config.json").read_text())
    document.pop("chat_template")
    (folder / "tokenizer_config.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match="has no chat template"):
        taken_in(folder, tmp_path / "out")


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        taken_in(tmp_path / "nowhere", tmp_path / "out")
