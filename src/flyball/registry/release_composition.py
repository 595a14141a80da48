"""Composes a release: everything that decides an answer, under one fingerprint. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from flyball.engines.catalog import kind_named
from flyball.engines.gbnf import labels_grammar
from flyball.errors import ConfigError
from flyball.inference.guardrails import guardrail
from flyball.inference.request_fields import fields_of_release
from flyball.records import Constraint, EngineSettings, Message, ModelVersion, Preparation, Release, fingerprint
from flyball.registry.config import ReleaseConfig


def compose(
    config: ReleaseConfig,
    *,
    project: str,
    task: str,
    model: ModelVersion,
    labels: Sequence[str],
    redaction: str,
    preparation: Preparation | None = None,
) -> Release:
    """The release of `model` under `config`; ConfigError for settings that do not go together."""
    name = fingerprint(model)
    context = config.engine.context or model.context_length
    if model.context_length and context > model.context_length:  # a server elsewhere may not say what it reads
        raise ConfigError(
            f"release.engine.context is {context}, the model reads {model.context_length} tokens",
            cure=f"set it to at most {model.context_length}, or leave it out",
        )
    kind = kind_named(config.engine.kind)
    needed = kind.loads
    if needed and not any(form.partition(":")[0] == needed for form in model.formats):
        raise ConfigError(
            f"release.engine.kind is {kind.name}, which loads {needed}; the model is there as "
            f"{', '.join(model.formats)}",
            cure=f"give the model as {needed}, or change release.engine.kind",
        )
    if config.guardrails and not context:
        raise ConfigError(
            "release.guardrails need to know how many tokens the model reads, and its server does not say",
            cure="set release.engine.context",
        )
    for rule in config.guardrails:
        guardrail(rule, context=context)
    constraint = _constraint(config, task, labels)
    return Release(
        project=project,
        task=task,
        model=name,
        adapter=config.adapter,
        artifact=name,
        chat_template=model.chat_template,
        system_prompt=config.system_prompt,
        examples=examples_of(config),
        sampling=_sampling(config),
        constraint=constraint,
        input_redaction=redaction,
        guardrails=config.guardrails,
        engine=EngineSettings(
            kind=kind.name,
            context=context,
            slots=config.engine.slots,
            threads=config.engine.threads,
            flags=kind.stored(config.engine),  # what it costs and which key opens it decide no answer
        ),
        preparation=preparation,
        request_fields=fields_of_release(
            config.request_fields,
            labels=constraint.kind == "labels",
            tools=kind.knows_tools(config.engine, model.chat_template),
            elsewhere=kind.runs == "elsewhere",
        ),
    )


def _constraint(config: ReleaseConfig, task: str, labels: Sequence[str]) -> Constraint:
    wanted = config.constraint
    if wanted == "none" or (wanted == "auto" and (task != "classification" or not labels)):
        return Constraint(kind="none")
    if not labels:
        raise ConfigError("release.constraint is labels, but no labels are known", cure="name data.validate.labels")
    labels_grammar(tuple(labels))  # raises for labels that cannot be written
    return Constraint(kind="labels", labels=tuple(sorted(labels)))


def examples_of(config: ReleaseConfig) -> tuple[Message, ...]:
    """The examples that a release shows before the user's own messages."""
    turns = [
        ((Message(role="user", content=e.user)), Message(role="assistant", content=e.assistant))
        for e in config.examples
    ]
    return tuple(message for turn in turns for message in turn)


def _sampling(config: ReleaseConfig) -> dict[str, Any]:
    sampling: dict[str, Any] = msgspec.to_builtins(config.sampling)
    return {name: value for name, value in sampling.items() if value is not None}
