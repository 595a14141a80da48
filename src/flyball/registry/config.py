"""Settings of packaging and of the release: all that decides an answer besides the weights."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flyball.engines.catalog import DEFAULT, AnyEngine


class PackageConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the engine will load."""

    quantization: Annotated[
        Literal["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k", "q4_k_m", "q4_k", "q4_0"],
        Meta(description="Form of the weights in the GGUF file."),
    ] = "q8_0"


class ExampleConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One example shown to the model before the user's own message."""

    user: Annotated[str, Meta(description="What the user says in it.")]
    assistant: Annotated[str, Meta(description="What the model should answer.")]


class SamplingConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Defaults where a request says nothing (a constrained classification always answers greedily).

    null: the engine is told nothing of it, which some servers elsewhere insist on.
    """

    temperature: Annotated[float, Meta(ge=0, description="0: greedy; higher: more varied.")] | None = 0.0
    top_p: (
        Annotated[
            float, Meta(gt=0, le=1, description="Only the most likely tokens that together reach this probability.")
        ]
        | None
    ) = 1.0
    max_tokens: Annotated[int, Meta(ge=1, description="Longest answer, in tokens.")] | None = 128


class ReleaseConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The release stage."""

    adapter: Annotated[str | None, Meta(description="A LoRA adapter on the model: its name from `flyball import`.")] = (
        None
    )
    system_prompt: Annotated[
        str | None, Meta(description="The system message before each conversation; null: none.")
    ] = None
    examples: Annotated[
        tuple[ExampleConfig, ...], Meta(description="Example turns shown to the model before the user's own message.")
    ] = ()
    constraint: Annotated[
        Literal["auto", "none", "labels"], Meta(description="auto: labels for classification, else none.")
    ] = "auto"
    sampling: SamplingConfig = msgspec.field(default_factory=SamplingConfig)
    guardrails: Annotated[tuple[str, ...], Meta(description="Names of guardrails on requests: max_prompt_tokens.")] = ()
    request_fields: (
        Annotated[
            tuple[str, ...],
            Meta(
                description="Fields of the API that a request may set and that change the answer; null: sampling, "
                "limits, response_format, and tools where the engine knows them (with labels: none)."
            ),
        ]
        | None
    ) = None
    engine: AnyEngine = msgspec.field(default_factory=DEFAULT.config)
