"""Settings of the training stage."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

BY_STEPS = (
    *("objective", "steps", "batch_size", "micro_batch", "learning_rate", "warmup"),
    *("teacher", "distillation"),
    *("weight_decay", "dropout", "seed"),
)
READ_BY: dict[str, tuple[str, ...]] = {
    "scratch": (*BY_STEPS, "word_dropout", "size"),
    "finetune": (*BY_STEPS, "base", "size.context", "dpo"),
    "lora": (*BY_STEPS, "base", "size.context", "lora", "dpo"),
    "linear": ("linear", "seed"),
    "command": ("command",),
    "none": ("base",),
}
"""Fields of a recipe, or sections of them, that decide the weights of each method."""
SMALLEST_CONTEXT = 256
"""Tokens of the context that is chosen for short rows."""


class SizeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Shape of a Llama-architecture model trained from scratch."""

    layers: Annotated[int, Meta(ge=1, description="Transformer layers.")] = 2
    hidden: Annotated[int, Meta(ge=32, description="Width of the hidden states; a multiple of `heads`.")] = 128
    heads: Annotated[int, Meta(ge=1, description="Attention heads; a multiple of `kv_heads`.")] = 4
    kv_heads: Annotated[
        int, Meta(ge=1, description="Heads of keys and values; fewer than `heads` is grouped-query attention.")
    ] = 4
    feed_forward: Annotated[int, Meta(ge=32, description="Width of the feed-forward layers.")] = 352
    vocabulary: Annotated[
        int, Meta(ge=300, description="Largest number of tokens of the tokenizer that is trained.")
    ] = 4096
    context: (
        Annotated[
            int,
            Meta(
                ge=32,
                description="Longest prompt and answer, in tokens; null: by what rows need, "
                "256 to 2,048 to learn from, with room up to six times that (at most 4,096) for denser texts.",
            ),
        ]
        | None
    ) = None


class LoraConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank adapters, for method lora."""

    rank: Annotated[int, Meta(ge=1, description="Rank of each adapter: how much it can learn and takes.")] = 16
    alpha: Annotated[float, Meta(gt=0, description="Adapters count alpha / rank times.")] = 32
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Share of an adapter's inputs dropped in training.")] = 0.05
    targets: Annotated[
        Annotated[tuple[str, ...], Meta(min_length=1)] | str,
        Meta(description="Names of the linear layers that get one, such as q_proj; all-linear: all but the head."),
    ] = "all-linear"


class LinearConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A linear model on n-grams, for method linear: the baseline that a language model has to beat."""

    words: Annotated[int, Meta(ge=1, le=5, description="Longest n-gram of words.")] = 2
    characters: Annotated[
        int,
        Meta(ge=0, le=8, description="Longest n-gram of characters within words; 0: none. 5 helps with typing errors."),
    ] = 0
    min_rows: Annotated[int, Meta(ge=1, description="Rows that an n-gram has to occur in.")] = 1
    features: Annotated[
        int, Meta(ge=1, description="At most so many n-grams of words, and of characters: the most frequent ones.")
    ] = 100_000
    strengths: Annotated[
        tuple[Annotated[float, Meta(gt=0)], ...],
        Meta(
            min_length=1,
            description="Inverse strengths of the regularisation (C) to try; the validation rows choose one, "
            "without any the middle one is taken.",
        ),
    ] = (1.0, 5.0, 20.0, 100.0)


class DpoConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Direct preference optimisation, for objective dpo."""

    beta: Annotated[
        float, Meta(gt=0, description="How dear it is to move away from the model as it was; lower moves further.")
    ] = 0.1


class DistillationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a student learns from its teacher, for objective distillation."""

    temperature: Annotated[
        float, Meta(gt=0, description="Softens both distributions: higher tells more of what the teacher found second.")
    ] = 1.0
    weight: Annotated[
        float, Meta(ge=0, le=1, description="Share of the teacher in the loss; the rows' own answers have the rest.")
    ] = 0.5
    top_k: Annotated[
        int,
        Meta(
            ge=1,
            description="Tokens of the teacher's distribution that are kept, 6 bytes each for each token of an answer.",
        ),
    ] = 64


class TrainConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recipe: from scratch, from a base model, or a command of the user's."""

    method: Annotated[
        Literal["scratch", "finetune", "lora", "linear", "command", "none"],
        Meta(
            description="scratch: tokenizer and weights from these rows; finetune: all weights of `base`; lora: "
            "adapters beside the weights of `base`, merged into them at the end; linear: n-grams and logistic "
            "regression, for classification and release.engine.kind onnx; command; none: nothing is trained, "
            "the model is `base` as it is, or that of a server (release.engine.kind openai)."
        ),
    ] = "scratch"
    objective: Annotated[
        Literal["supervised", "text", "dpo", "distillation"],
        Meta(
            description="What scratch, finetune and lora minimise. supervised: the answers, given what was asked; "
            "text: every token of rows without answers, packed to the context; dpo: preferred answers become likelier "
            "than rejected ones (fields.rejected), not from scratch; distillation: the answers, and how likely "
            "`teacher` finds each token."
        ),
    ] = "supervised"
    base: (
        Annotated[
            str,
            Meta(description="A Hugging Face model folder, for finetune, lora and none; for none a GGUF file too."),
        ]
        | None
    ) = None
    command: (
        Annotated[
            str,
            Meta(description="For method command: run with FLYBALL_DATASET and FLYBALL_OUTPUT; writes a model folder."),
        ]
        | None
    ) = None
    teacher: (
        Annotated[
            str,
            Meta(
                description="For objective distillation: a Hugging Face model folder, or a model of this project by "
                "alias or name. A student from scratch takes its vocabulary and chat template."
            ),
        ]
        | None
    ) = None
    distillation: DistillationConfig = msgspec.field(default_factory=DistillationConfig)
    dpo: DpoConfig = msgspec.field(default_factory=DpoConfig)
    lora: LoraConfig = msgspec.field(default_factory=LoraConfig)
    size: SizeConfig = msgspec.field(default_factory=SizeConfig)
    linear: LinearConfig = msgspec.field(default_factory=LinearConfig)
    steps: Annotated[int, Meta(ge=1, description="Optimiser steps.")] = 1500
    batch_size: Annotated[int, Meta(ge=1, description="Rows in each step.")] = 32
    micro_batch: (
        Annotated[
            int,
            Meta(
                ge=1,
                description="Rows at once: a step adds up the gradients of so many at a time, in less memory; "
                "null: all of `batch_size`.",
            ),
        ]
        | None
    ) = None
    learning_rate: (
        Annotated[
            float,
            Meta(
                gt=0,
                description="null: 0.002 from scratch, 0.0002 for finetune and lora; for dpo 1e-6 and 1e-5.",
            ),
        ]
        | None
    ) = None
    warmup: Annotated[float, Meta(ge=0, le=0.5, description="Share of the steps in which the learning rate rises.")] = (
        0.05
    )
    weight_decay: Annotated[float, Meta(ge=0, description="Weight decay of AdamW.")] = 0.05
    dropout: Annotated[
        float,
        Meta(ge=0, lt=1, description="Share of activations dropped in training; for finetune of attention weights."),
    ] = 0.1
    word_dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Share of a prompt's tokens hidden at each step; from scratch only.")
    ] = 0.2
    seed: Annotated[int, Meta(description="Seed of initial weights, order of rows and dropout.")] = 1
    threads: Annotated[
        int, Meta(ge=1, description="More than one helps only on idle cores: threads that wait spin.")
    ] = 1
    checkpoint_every_s: Annotated[
        float, Meta(gt=0, description="Seconds between two checkpoints; what was stopped goes on from the newest.")
    ] = 120.0
    tracking: (
        Annotated[str, Meta(description="An MLflow tracking URI; null: a local store in .flyball/mlflow.db.")] | None
    ) = None
