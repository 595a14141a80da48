"""A GGUF file is a model version as it is, once it is known to be a whole language model that can chat."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from flyball.errors import CorruptionError, InputError
from flyball.registry.gguf.model import import_gguf
from flyball.registry.gguf.tensors import read_layout
from tiny_gguf import TEMPLATE, write_tiny_adapter, write_tiny_gguf


def test_the_version_says_what_the_file_says(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", quantized=True)
    model = import_gguf(path, project="shop", out=tmp_path / "out")
    assert (model.architecture, model.context_length, model.formats) == ("llama", 256, ("gguf:q8_0",))
    assert model.chat_template == TEMPLATE
    assert model.parameters == sum(int(tensor.n_elements) for tensor in gguf.GGUFReader(path).tensors)
    assert [file.path for file in model.files] == ["model.gguf"]


def test_a_file_without_its_last_bytes_is_told_from_a_whole_one(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    whole = path.read_bytes()
    assert read_layout(path).form == "f32"
    for size in (3, 24, 200, len(whole) // 2, len(whole) - 64):
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptionError, match=r"cut short|not a GGUF file"):
            import_gguf(path, project="shop", out=tmp_path / "out")
        assert not (tmp_path / "out").exists()


def written(path: Path, architecture: str = "llama", **keys: object) -> Path:
    """A GGUF file of one tensor that says these things."""
    import numpy

    writer = gguf.GGUFWriter(str(path), architecture)
    for name, value in keys.items():
        key = name.replace("__", ".")
        writer.add_uint32(key, value) if isinstance(value, int) else writer.add_string(key, str(value))
    writer.add_tensor("output_norm.weight", numpy.ones(4, numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


WHOLE = {"llama__context_length": 64, "tokenizer__chat_template": "{{ messages }}"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"llama__context_length": 64}, "has no chat template"),
        ({**WHOLE, "general__type": "mmproj"}, "is not a language model"),
        ({**WHOLE, "architecture": "bert"}, "is not a language model"),
        ({**WHOLE, "split__count": 3}, "one of 3 pieces"),
        ({"tokenizer__chat_template": "x"}, "how many tokens"),
    ],
)
def test_what_could_not_answer_a_chat_is_refused_at_import(tmp_path: Path, keys: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        import_gguf(written(tmp_path / "x.gguf", **keys), project="shop", out=tmp_path / "out")  # type: ignore[arg-type]
    import_gguf(written(tmp_path / "y.gguf", **WHOLE), project="shop", out=tmp_path / "out")


def test_an_adapter_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is an adapter\n.*release.adapter"):
        import_gguf(write_tiny_adapter(tmp_path / "a.gguf"), project="shop", out=tmp_path / "out")
