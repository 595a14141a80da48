"""Which files of a model folder hold its weights, and their tensors by the names that transformers knows. I/O: reads.

Left aside: `consolidated.safetensors`, which repeats the weights under other names, and rotary buffers, which are
computed. A model saved without its `model.` prefix gets it back, as transformers does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flyball.errors import CorruptionError, InputError
from flyball.inference.model_folders import read_json

_INDEX = "model.safetensors.index.json"
_WHOLE = "model.safetensors"


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up the model; CorruptionError for a shard that is missing."""
    if (folder / _WHOLE).is_file():
        return [folder / _WHOLE]
    if (folder / _INDEX).is_file():
        files = [folder / name for name in _shards(folder)]
        for path in files:
            if not path.is_file():
                raise CorruptionError(f"{folder} lacks {path.name}", cure="copy or download it again")
        return files
    files = [path for path in sorted(folder.glob("*.safetensors")) if not path.name.startswith("consolidated")]
    if not files:
        raise InputError(f"{folder} has no .safetensors file", cure="give a Hugging Face model folder with safetensors")
    return files


def _shards(folder: Path) -> list[str]:
    """The files that the index names, each by a plain name in the folder."""
    index = read_json(folder / _INDEX)
    shards = index.get("weight_map") if isinstance(index, dict) else None
    names = list(shards.values()) if isinstance(shards, dict) else []
    wrong = [name for name in names if not isinstance(name, str) or Path(name).name != name]
    if wrong or not names:
        raise CorruptionError(
            f"{folder / _INDEX} names {wrong[0] if wrong else 'no file'}, which is no file of the folder",
            cure="copy or download it again",
        )
    return sorted(set(names))


def read_tensors(folder: Path) -> list[tuple[str, Any]]:
    """Every tensor of the model, by name, as float32 arrays; CorruptionError for a broken file."""
    return sorted(_named(folder), key=lambda item: item[0])


def _named(folder: Path) -> Iterator[tuple[str, Any]]:
    for path in weight_files(folder):
        for name, tensor in read_file(path):
            if not name.endswith("rotary_emb.inv_freq"):
                yield _full_name(name), tensor


def read_file(path: Path) -> Iterator[tuple[str, Any]]:
    """The tensors of one safetensors file, by the names that they have there; CorruptionError for a broken one."""
    from safetensors import SafetensorError, deserialize

    try:
        for name, tensor in deserialize(path.read_bytes()):  # type: ignore[no-untyped-call]
            yield name, _array(name, tensor)
    except (SafetensorError, OSError, ValueError) as error:
        raise CorruptionError(f"{path} cannot be read: {error}", cure="copy or train the model again") from error


def _full_name(name: str) -> str:
    return f"model.{name}" if name.startswith(("layers.", "embed_tokens.", "norm.")) else name


def _array(name: str, stored: Mapping[str, Any]) -> Any:
    """A stored tensor as float32; numpy has no bfloat16, which is the upper half of a float32."""
    import numpy

    kind, data, shape = stored["dtype"], stored["data"], stored["shape"]
    if kind == "BF16":
        halves = numpy.frombuffer(data, dtype="<u2").astype("<u4") << 16
        return halves.view("<f4").reshape(shape)
    if kind not in ("F32", "F16"):
        raise InputError(
            f"the tensor {name} is stored as {kind}", cure="save the model as float32, float16 or bfloat16"
        )
    return numpy.frombuffer(data, dtype="<f4" if kind == "F32" else "<f2").astype("<f4").reshape(shape)
