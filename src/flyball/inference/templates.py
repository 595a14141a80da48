"""Chat templates: how messages become the one string that a model reads.

Rendered here exactly as transformers and llama.cpp do (Jinja with trim_blocks and lstrip_blocks), in a sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from flyball.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Template

END = "<|end|>"
PADDING = "<|pad|>"
ROLE_TOKENS = ("<|system|>", "<|user|>", "<|assistant|>")
SPECIAL_TOKENS = (PADDING, END, *ROLE_TOKENS)

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
"""The template of models that Flyball trains from scratch."""


def render(
    template: str, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool, **tokens: str | None
) -> str:
    """The prompt string for `messages`; `tokens` are names that templates use, such as bos_token."""
    from jinja2 import TemplateError  # the gateway imports this package and renders nothing

    try:
        return _compiled(template).render(messages=messages, add_generation_prompt=add_generation_prompt, **tokens)
    except TemplateError as error:
        raise InputError(f"the chat template does not render: {error}", cure="fix it, or change messages") from error


@lru_cache(maxsize=16)
def _compiled(template: str) -> Template:
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    return environment.from_string(template)


def _tojson(value: object, indent: int | None = None) -> str:
    """JSON without HTML escapes, as transformers has it."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    raise InputError(f"the chat template refuses these messages: {message}", cure="change the order or the roles")
