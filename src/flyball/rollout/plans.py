"""What a deployment goes through before it is live: the steps of its plan, as each strategy means them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flyball.errors import InputError
from flyball.records import JSON, Deployment

Variant = Literal["canary", "shadow", "b"]
_OF_STRATEGY: dict[str, Variant] = {"canary": "canary", "shadow": "shadow", "ab": "b"}
_DEFAULT_SHARES: dict[str, tuple[float, ...]] = {"canary": (0.1, 0.5), "shadow": (1.0,), "ab": (0.5,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: how the candidate gets requests (answering some units, mirrored, or half of a test) and what share."""

    variant: Variant
    share: float


def steps_of(deployment: Deployment) -> tuple[Step, ...]:
    """The steps between started and live; none for blue-green, and none where nothing is live to compare with.

    `plan["steps"]` holds shares, or mappings such as {"variant": "shadow", "share": 1.0} (shadow, then canary).
    """
    if deployment.strategy == "blue-green" or deployment.replaces is None:
        return ()
    variant = _OF_STRATEGY[deployment.strategy]
    given = deployment.plan.get("steps") or _DEFAULT_SHARES[deployment.strategy]
    return tuple(_step(step, variant) for step in given)


def _step(step: JSON, variant: Variant) -> Step:
    share = step
    if isinstance(step, dict):
        variant, share = step.get("variant", variant), step.get("share")
    whole = variant == "shadow"
    fits = isinstance(share, int | float) and (0.0 < share < 1.0 or (whole and share == 1.0))
    if variant not in ("canary", "shadow", "b") or not fits:
        raise InputError(
            f"{step!r} is no step of a rollout", cure='give shares between 0 and 1, or {"variant": …, "share": …}'
        )
    return Step(variant=variant, share=float(share))
