"""A folder from a stranger is read, never run: what lies, leads out or is no model is refused with its name."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from flyball.errors import FlyballError
from flyball.registry.config import PackageConfig
from flyball.registry.model_import import import_model


def lying(header: dict[str, object] | None, *, length: int | None = None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = json.dumps(header or {}).encode()
        data = struct.pack("<Q", len(text) if length is None else length) + text + bytes(64)
        (folder / "model.safetensors").write_bytes(data)

    return change


def text(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


def index(shard: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "a.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shard}))

    return change


def link_out(folder: Path) -> None:
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "generation_config.json").symlink_to("/etc/hostname")


FLOAT = {"dtype": "F32", "shape": [4, 4]}
HOSTILE = {
    "a pickle beside": text("pytorch_model.bin", "x"),
    "code beside": text("modeling_x.py", "import os"),
    "a header longer than the file": lying({}, length=1 << 40),
    "a header of 2 to the 64": lying({}, length=(1 << 64) - 1),
    "an offset behind the end": lying({"model.norm.weight": {**FLOAT, "data_offsets": [0, 1 << 40]}}),
    "a shape that its bytes do not fill": lying({"model.norm.weight": {**FLOAT, "data_offsets": [0, 8]}}),
    "a negative offset": lying({"model.norm.weight": {**FLOAT, "data_offsets": [-4, 60]}}),
    "overlapping tensors": lying({n: {**FLOAT, "data_offsets": [0, 64]} for n in ("model.norm.weight", "lm_head.w")}),
    "a zip file for weights": lambda folder: (
        (folder / "model.safetensors").write_bytes(b"PK\x03\x04" + bytes(99)) and None
    ),
    "no tensors": lying({}),
    "a shard out of the folder": index({"lm_head.weight": "../../secret.safetensors"}),
    "an absolute shard": index({"lm_head.weight": "/etc/hostname"}),
    "an index of nothing": index({}),
    "an index of numbers": index({"lm_head.weight": 5}),
    "a link out of the folder": link_out,
    "settings that are a list": text("config.json", "[]"),
    "settings nested without end": text("config.json", "[" * 100_000),
    "remote code": text("config.json", '{"auto_map": {"AutoModel": "x.Y"}}'),
    "a tokenizer that is a text": text("tokenizer.json", '"x"'),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_it_is_refused_by_name_and_leaves_nothing(packaged, tmp_path, how):
    folder = tmp_path / "given"
    shutil.copytree(packaged.training, folder)
    HOSTILE[how](folder)
    with pytest.raises(FlyballError) as refused:
        import_model(folder, config=PackageConfig(), project="shop", out=tmp_path / "out")
    assert refused.value.cure and str(tmp_path) in refused.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


def test_a_snapshot_of_the_hugging_face_cache_is_taken(packaged, tmp_path):
    home = tmp_path / "models--x--y"
    snapshot, blobs = home / "snapshots" / "abc", home / "blobs"
    snapshot.mkdir(parents=True)
    shutil.copytree(packaged.training, blobs)
    for path in list(blobs.iterdir()):
        if path.is_file():
            (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    assert import_model(snapshot, config=PackageConfig(), project="shop", out=tmp_path / "out").parameters > 0
    assert not any(path.is_symlink() for path in (tmp_path / "out").iterdir())
