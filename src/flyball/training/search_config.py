"""Settings of the search for a better recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta


class RangeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Numbers to try for one field."""

    low: Annotated[int | float, Meta(description="The smallest value.")]
    high: Annotated[int | float, Meta(description="The largest value.")]
    log: Annotated[bool, Meta(description="Spread evenly over orders of magnitude; not together with `step`.")] = False
    step: Annotated[int | float | None, Meta(description="Only `low` and every so much above it; null: any value.")] = (
        None
    )


class SearchConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`flyball search`: which fields of the recipe are tried, how many recipes, and what they are ranked by."""

    fields: Annotated[
        dict[str, RangeConfig | tuple[Any, ...]],
        Meta(
            description="Fields of `train`, `package` and `release`, each with its values or its range: "
            "`train.learning_rate: {low: 1e-4, high: 1e-2, log: true}`, `train.method: [scratch, lora]`."
        ),
    ] = msgspec.field(default_factory=dict)
    suite: Annotated[
        str,
        Meta(
            description="What recipes are ranked on: `validation`, the rows held out for choosing, or a suite of its "
            "own; never one of evaluate.suites, which the gate decides on."
        ),
    ] = "validation"
    measure: (
        Annotated[str, Meta(description="A measure of that suite; null: exact_match for classification, else chrf.")]
        | None
    ) = None
    direction: Annotated[
        Literal["maximize", "minimize"], Meta(description="Whether more or less of the measure is better.")
    ] = "maximize"
    trials: Annotated[int, Meta(ge=1, description="Recipes trained at most, with those of earlier runs.")] = 20
    seconds: (
        Annotated[
            float, Meta(gt=0, description="Seconds that all trials may take, with those of earlier runs; null: any.")
        ]
        | None
    ) = None
    seed: Annotated[int, Meta(ge=0, description="Seed of the recipes that are tried.")] = 1
    prune: Annotated[
        bool,
        Meta(
            description="End a training that validates worse than the median of the earlier ones did at the same "
            "tenth; methods without steps (linear, command) are never ended."
        ),
    ] = True
