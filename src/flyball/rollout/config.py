"""Settings of the gate and of rollouts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from flyball.errors import nearest
from flyball.records import JSON
from flyball.records.canonical import to_plain


class GateRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule on one measure; exactly one of the four comparisons."""

    measure: Annotated[str, Meta(description="The measure that is compared, such as exact_match, accuracy or errors.")]
    suite: Annotated[str, Meta(description="The suite it is measured on.")] = "test"
    slice: Annotated[
        str | None, Meta(description="A slice of the suite, such as `language=de`; null: the whole suite.")
    ] = None
    at_least: Annotated[float | None, Meta(description="The lower bound must reach this value.")] = None
    at_most: Annotated[float | None, Meta(description="The upper bound must not exceed this value.")] = None
    not_worse_than_live: Annotated[float, Meta(ge=0, description="Margin, paired with the live release.")] | None = None
    better_than_live: Annotated[float, Meta(ge=0, description="By at least this much, paired.")] | None = None


class GateConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a release must prove before it may be deployed: one-sided bounds at alpha, every rule."""

    alpha: Annotated[
        float, Meta(gt=0, lt=0.5, description="Error rate of each one-sided bound: 0.05 gives 95 % confidence.")
    ] = 0.05
    rules: Annotated[tuple[GateRule, ...], Meta(description="All must pass.")] = (
        GateRule(measure="exact_match", at_least=0.6),
        GateRule(measure="exact_match", not_worse_than_live=0.03),
    )
    leaked_at_most: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of a suite's cases that may be in the training rows (equal, or by a passage of 13 "
            "words); above it no rule on the suite passes.",
        ),
    ] = 0.0
    near_at_most: Annotated[
        float,
        Meta(
            ge=0, le=1, description="Share of a suite's cases that may be near duplicates of training rows; as above."
        ),
    ] = 0.1


LATER = ("leaked_at_most", "near_at_most")


def policy_of(gate: GateConfig) -> dict[str, JSON]:
    """The gate as a decision keeps it; settings that came later count where they differ from their default."""
    plain = to_plain(gate)
    assert isinstance(plain, dict)
    default = GateConfig()
    return {key: value for key, value in plain.items() if key not in LATER or value != getattr(default, key)}


def rule_problem(rule: GateRule, known: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """(what is wrong, the cure) of a rule on a suite or a measure that nothing gives: it could never be decided.

    `known` are the measures of each suite.
    """
    if rule.suite not in known:
        close = nearest(rule.suite, list(known))
        return (
            f"a gate rule is on the suite {rule.suite!r}, but the suites are {', '.join(known)}",
            f"did you mean {close}?" if close else "name one of them (in a gate file `suite` may be left out)",
        )
    thresholds = (rule.at_least, rule.at_most, rule.not_worse_than_live, rule.better_than_live)
    if endless := [one for one in thresholds if one is not None and not math.isfinite(one)]:
        return f"a gate rule on {rule.measure!r} compares with {endless[0]}", "give it a number that can be missed"
    measures = list(dict.fromkeys(known[rule.suite]))
    if rule.measure not in measures:
        close = nearest(rule.measure, measures)
        return (
            f"a gate rule is on {rule.measure!r}, which {rule.suite} does not measure, but {', '.join(measures)}",
            f"did you mean {close}?" if close else "name one of them",
        )
    return None


class JudgeConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program of yours that judges the sampled answers (docs/how-to/judge.md says what it reads and writes)."""

    command: Annotated[tuple[str, ...], Meta(min_length=1, description="Run in the project's folder, without a shell.")]
    every_s: Annotated[float, Meta(gt=0, description="Seconds between two looks for answers that wait.")] = 5.0
    timeout_s: Annotated[float, Meta(gt=0, description="Longest run; then it is killed and a finding says so.")] = 60.0
    batch: Annotated[int, Meta(ge=1, le=1000, description="Answers given to one run.")] = 32


class RolloutConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a release that passed takes over a route."""

    strategy: Annotated[
        Literal["blue-green", "canary", "shadow"],
        Meta(
            description="How `flyball run` and `flyball deploy` put a release on the route: at once, step by step, or "
            "mirrored first and then step by step. The first release is always blue-green."
        ),
    ] = "blue-green"
    canary_steps: Annotated[tuple[float, ...], Meta(description="Growing shares of the units.")] = (0.1, 0.5)
    unit: Annotated[
        str,
        Meta(
            pattern=r"^(auto|user|conversation|key|header:[A-Za-z0-9-]+)$",
            description="What stays with one release: the request's user, conversation (x-flyball-conversation), API "
            "key or a header; auto: user, else conversation, else caller. The caller stands in for what is missing.",
        ),
    ] = "auto"
    shadow_share: Annotated[float, Meta(gt=0, le=1, description="Share of the units mirrored to a shadow.")] = 0.2
    shadow_max_usd: Annotated[
        float, Meta(gt=0, description="What mirrored requests may cost: then the shadow's step ends.")
    ] = 10.0
    min_units: Annotated[int, Meta(ge=1, description="Judged units of the canary before it may go on.")] = 30
    judge_after_s: Annotated[
        float, Meta(ge=0, description="A unit is judged this long after its first request; feedback until then counts.")
    ] = 30.0
    judge_share: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of the units whose answers are judged, by people or a program (`flyball judge`). Only "
            "they can prove quality: at 0 no canary is promoted without a person.",
        ),
    ] = 0.2
    judge_within_s: Annotated[
        float,
        Meta(
            gt=0,
            description="A verdict counts when it comes this long after the unit's first request. Where people judge, "
            "give them hours, and a longer deadline_s.",
        ),
    ] = 300.0
    judge: Annotated[JudgeConfig | None, Meta(description="A program that judges; null: people do.")] = None
    margin: Annotated[float, Meta(gt=0, lt=1, description="How much worse than live judged quality may be.")] = 0.1
    margin_failures: Annotated[
        float, Meta(gt=0, lt=1, description="How many more of the units than live's may see a request fail.")
    ] = 0.02
    margin_blocked: Annotated[
        float, Meta(gt=0, lt=1, description="How many more of the units may have a request refused or filtered.")
    ] = 0.02
    latency_quantile: Annotated[
        float, Meta(gt=0, lt=1, description="Which quantile of the units' times is compared.")
    ] = 0.9
    margin_latency: Annotated[
        float, Meta(gt=0, le=10, description="How much slower that may be, as a share of live's: 0.25 is 1.25 times.")
    ] = 0.25
    margin_cost: Annotated[
        float, Meta(gt=0, le=10, description="How much more expensive a request may be, as a share of live's.")
    ] = 0.25
    alpha: Annotated[float, Meta(gt=0, lt=0.5, description="Error rate of the tests that promote or roll back.")] = 0.05
    max_failures: Annotated[int, Meta(ge=1, description="Failures among the first ten requests: rollback at once.")] = 5
    deadline_s: Annotated[
        float, Meta(gt=0, description="A deployment that is undecided by then is paused for a person.")
    ] = 3600.0
    scale_down_delay_s: Annotated[float, Meta(ge=0, description="The old release stays hot this long.")] = 300.0
    ready_timeout_s: Annotated[
        float, Meta(gt=0, description="A new engine that has not answered a real request by then has failed.")
    ] = 60.0
