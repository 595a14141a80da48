"""Takes a GGUF file in as a model version, as it is: llama.cpp will load these bytes. I/O: reads and copies it.

What the file says of itself is checked here, so that the engine does not end over it later: a whole file, one piece, a
language model, with a chat template.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from flyball.errors import InputError
from flyball.inference.model_folders import whole_folder
from flyball.records import ModelVersion
from flyball.registry.gguf.header import Header
from flyball.registry.gguf.tensors import Layout, read_layout
from flyball.registry.packaging import GGUF
from flyball.storage.artifacts import file_refs

TEMPLATE = "tokenizer.chat_template"
_NO_LANGUAGE_MODEL = ("clip", "bert", "nomic-bert", "jina-bert-v2", "t5", "t5encoder", "wavtokenizer-dec")


def import_gguf(path: Path, *, project: str, out: Path) -> ModelVersion:
    """The file as the model of `out`; InputError for one that cannot answer a chat."""
    if not path.is_file():
        raise InputError(f"there is no file {path}", cure="give the path of a GGUF file")
    layout = read_layout(path)
    check_model(path, layout.header)
    with whole_folder(out) as partial:
        shutil.copyfile(path, partial / GGUF)
        files = file_refs(partial)
    return ModelVersion(
        project=project,
        training_run=None,
        dataset=None,
        architecture=str(layout.header["general.architecture"]),
        parameters=layout.parameters,
        context_length=context_of(layout),
        formats=(f"gguf:{layout.form}",),
        files=files,
        chat_template=str(layout.header[TEMPLATE]),
    )


def context_of(layout: Layout) -> int:
    """How many tokens the model reads; 0 where the file does not say."""
    return int(layout.header.get(f"{layout.header.get('general.architecture')}.context_length", 0))


def check_model(path: Path, header: Header) -> None:
    """InputError for a file that is not a language model with a chat template in one piece."""
    architecture = header.get("general.architecture")
    kind = header.get("general.type", "model")
    if kind == "adapter":
        raise InputError(f"{path} is an adapter", cure=f"flyball import {path}, then name it as release.adapter")
    if kind != "model" or architecture in (None, *_NO_LANGUAGE_MODEL):
        raise InputError(
            f"{path} is not a language model (general.type {kind}, general.architecture {architecture})",
            cure="give the GGUF file of the model itself",
        )
    if int(header.get("split.count", 0)) > 1:
        raise InputError(
            f"{path} is one of {header['split.count']} pieces", cure="join them: llama-gguf-split --merge FIRST OUT"
        )
    if not header.get(TEMPLATE):
        raise InputError(
            f"{path} has no chat template: a base model cannot chat",
            cure="use the instruct version, or add one: gguf-new-metadata --chat-template … IN OUT",
        )
    if f"{architecture}.context_length" not in header:
        raise InputError(f"{path} does not say how many tokens it reads", cure="convert the model again")
