"""What a deployment goes through before it is live: the steps of its plan, as each strategy means them.

blue-green   –                                              at once, when its engine has answered
canary       canary 10 %, canary 50 %                       on proof, step by step
shadow       mirrored 20 % [, then canary 10 %, … | b 50 %] in copy first; alone it ends with a person's choice
ab           b 50 %                                         two good releases; ends with a person's choice
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from flyball.errors import InputError
from flyball.records import JSON, Deployment, Strategy
from flyball.rollout.config import RolloutConfig

Variant = Literal["canary", "shadow", "b"]
_OF_STRATEGY: dict[str, Variant] = {"canary": "canary", "shadow": "shadow", "ab": "b"}
_DEFAULT_SHARES: dict[str, tuple[float, ...]] = {"canary": (0.1, 0.5), "shadow": (1.0,), "ab": (0.5,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: how the candidate gets requests (answering some units, mirrored, or half of a test) and what share."""

    variant: Variant
    share: float


def plan_of(
    strategy: Strategy,
    config: RolloutConfig,
    *,
    shares: Sequence[float] = (),
    then: Strategy | None = None,
    mirrored: float | None = None,
) -> dict[str, JSON]:
    """The plan of a strategy, with the project's settings where nothing is said; InputError for what makes no sense.

    `shares` are of the answering steps, `mirrored` of the units that a shadow gets in copy, `then` follows a shadow.
    """
    if then is not None and strategy != "shadow":
        raise InputError(f"nothing follows a {strategy} deployment", cure="use --then with --strategy shadow only")
    if mirrored is not None and strategy != "shadow":
        raise InputError(f"a {strategy} deployment mirrors nothing", cure="use --mirror with --strategy shadow only")
    answering = then if strategy == "shadow" else strategy
    if answering in (None, "blue-green") and shares:
        cure = "say what they belong to: --then canary" if strategy == "shadow" else "use --strategy canary"
        raise InputError(f"a {strategy} deployment has no steps {list(shares)}", cure=cure)
    steps: list[JSON] = []
    if strategy == "shadow":
        steps.append({"variant": "shadow", "share": config.shadow_share if mirrored is None else mirrored})
    if answering == "canary":
        steps += [{"variant": "canary", "share": share} for share in shares or config.canary_steps]
    if answering == "ab":
        steps += [{"variant": "b", "share": share} for share in shares or _DEFAULT_SHARES["ab"]]
    return {"steps": steps} if steps else {}


def steps_of(deployment: Deployment) -> tuple[Step, ...]:
    """The steps between started and live; none for blue-green, and none where nothing is live to compare with.

    `plan["steps"]` holds shares, or mappings such as {"variant": "shadow", "share": 1.0} (shadow, then canary).
    """
    if deployment.strategy == "blue-green" or deployment.replaces is None:
        return ()
    variant = _OF_STRATEGY[deployment.strategy]
    given = deployment.plan.get("steps") or _DEFAULT_SHARES[deployment.strategy]
    return tuple(_step(step, variant) for step in given)


def takes_downtime(deployment: Deployment) -> bool:
    """Whether somebody allowed that what is live ends before the release starts."""
    return deployment.plan.get("downtime") is True


def check_plan(deployment: Deployment) -> None:
    """InputError for a plan that makes no sense: shares that do not grow, a shadow after users were answered."""
    for one, following in pairwise(steps_of(deployment)):
        grows = one.variant == following.variant != "b" and one.share < following.share
        leaves_shadow = one.variant == "shadow" and following.variant != "shadow"
        if not (grows or leaves_shadow):
            raise InputError(
                f"{following.variant} {following.share:g} cannot follow {one.variant} {one.share:g}",
                cure="let shares grow, so that nobody flips back; a shadow comes first, a test of two last",
            )


def _step(step: JSON, variant: Variant) -> Step:
    share = step
    if isinstance(step, dict):
        variant, share = step.get("variant", variant), step.get("share")
    whole = variant == "shadow"
    fits = isinstance(share, int | float) and (0.0 < share < 1.0 or (whole and share == 1.0))
    if variant not in ("canary", "shadow", "b") or not fits:
        raise InputError(
            f"{step!r} is not a step of a rollout", cure='give shares between 0 and 1, or {"variant": …, "share": …}'
        )
    return Step(variant=variant, share=float(share))
