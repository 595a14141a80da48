"""Hugging Face model folders: what they must hold, and must never hold. I/O: reads and writes folders."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from flyball.errors import CorruptionError, EnvironmentMissing, InputError, RefusedError

_EXECUTABLE = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".py", ".so", ".joblib", ".npy", ".h5", ".msgpack")
"""Pickles and code: loading one may run whatever its author wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A folder that was looked through: its configuration, tokenizer settings and chat template ("" for none)."""

    path: Path
    config: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    chat_template: str


def read_json(path: Path) -> Any:
    """The JSON in a model folder's file; InputError when it is missing, CorruptionError when it is broken."""
    try:
        return msgspec.json.decode(path.read_bytes())
    except FileNotFoundError as error:
        raise InputError(f"{path.parent} has no {path.name}", cure="give a whole Hugging Face model folder") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise CorruptionError(f"{path} is not JSON: {error}", cure="copy or train the model again") from error


def read_model_folder(folder: Path) -> ModelFolder:
    """Look through a folder before anything is loaded from it.

    RefusedError for remote code or pickles, InputError for what is missing, CorruptionError for broken JSON.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", cure="give the path of a Hugging Face model folder")
    refuse_code(folder)
    refuse_links_out(folder)
    config = _object(folder / "config.json")
    if "auto_map" in config:
        raise RefusedError(f"{folder} needs code of its own (auto_map)", cure="use a model that transformers knows")
    tokenizer = _object(folder / "tokenizer_config.json")
    if "auto_map" in tokenizer:
        raise RefusedError(f"the tokenizer in {folder} needs code of its own (auto_map)", cure="use a fast tokenizer")
    _object(folder / "tokenizer.json")
    if not any(folder.glob("*.safetensors")):
        raise InputError(f"{folder} has no .safetensors file", cure="save the model as safetensors")
    return ModelFolder(
        path=folder, config=config, tokenizer=tokenizer, chat_template=chat_template_of(folder, tokenizer)
    )


def refuse_code(folder: Path) -> None:
    """RefusedError when a file in the folder could run code on load."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _EXECUTABLE:
            raise RefusedError(
                f"{path} is a pickle or code", cure="keep safetensors and JSON only; delete it if it is not needed"
            )


def refuse_links_out(folder: Path) -> None:
    """RefusedError for a link to a file elsewhere, which would be copied and served as a part of the model.

    A snapshot in the Hugging Face cache links to the blobs of its own model, and may.
    """
    allowed = [folder.resolve()]
    if folder.resolve().parent.name == "snapshots":
        allowed.append(folder.resolve().parent.parent / "blobs")
    for path in folder.rglob("*"):
        if path.is_symlink() and not any(path.resolve().is_relative_to(home) for home in allowed):
            raise RefusedError(f"{path} is a link out of the folder, to {path.resolve()}", cure="put the file there")


def _object(path: Path) -> Any:
    """The keys and values of a JSON file; CorruptionError for another document."""
    document = read_json(path)
    if not isinstance(document, dict):
        raise CorruptionError(f"{path} holds no keys and values", cure="copy or train the model again")
    return document


def chat_template_of(folder: Path, tokenizer: Mapping[str, Any]) -> str:
    """The default chat template: its own file, or the entry in tokenizer_config.json."""
    own = folder / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    found = tokenizer.get("chat_template") or ""
    if isinstance(found, list):  # several by name
        found = next((entry["template"] for entry in found if entry.get("name") == "default"), "")
    return str(found)


def token_text(value: object) -> str:
    """A token in tokenizer_config.json: a string, or an object with its content; "" for none."""
    if isinstance(value, Mapping):
        value = value.get("content")
    return value if isinstance(value, str) else ""


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A temporary folder that becomes `out` in one rename when the block ends well, and vanishes when it does not."""
    partial = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        partial.mkdir(parents=True)
        yield partial
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    except OSError as error:
        raise EnvironmentMissing(f"{out} cannot be written: {error}", cure="free space or fix its mode") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
