"""A model that exists, looked at before a project is made around it. I/O: reads its header, or asks its server."""

from __future__ import annotations

import os
from pathlib import Path

from flyball.errors import InputError
from flyball.inference.http_client import ServerAccess
from flyball.inference.model_folders import read_model_folder
from flyball.inference.model_list import is_url, served_model
from flyball.registry.config_keys import context_length
from flyball.registry.gguf.architectures import architecture_of
from flyball.registry.gguf.model import check_model, context_of
from flyball.registry.gguf.tensors import read_layout
from flyball.settings import proxy_for, secret
from flyball.workflows.init_settings import ProjectShape


def existing_model(source: str, *, root: Path, model_name: str | None, api_key: str | None) -> ProjectShape:
    """What flyball.yaml says of it; InputError for what cannot be released, UpstreamError for a server that is away."""
    if is_url(source):
        way = ServerAccess(
            api_key=api_key, secrets=lambda reference: secret(reference, Path.cwd()), proxy_for=proxy_for
        )
        served = served_model(source, name=model_name, way=way)
        return ProjectShape(source=source, is_url=True, context=served.context, model_name=served.name, api_key=api_key)
    if model_name or api_key:
        raise InputError("--model-name and --api-key belong to a URL", cure="leave them out")
    path = Path(source).expanduser().resolve()
    if path.is_file():
        layout = read_layout(path)
        check_model(path, layout.header)
        context = context_of(layout)
    else:
        context = _context_of_folder(path, source)
    inside = path.is_relative_to(root)
    return ProjectShape(source=os.path.relpath(path, root) if inside else str(path), is_url=False, context=context)


def _context_of_folder(path: Path, source: str) -> int:
    if not path.is_dir():
        raise InputError(
            f"there is no model {source}", cure="give a Hugging Face model folder, a GGUF file, or a server's URL"
        )
    folder = read_model_folder(path)
    architecture_of(folder.config)
    if not folder.chat_template:
        raise InputError(f"{source} has no chat template", cure="add chat_template.jinja: a base model cannot chat")
    return context_length(folder.config)
