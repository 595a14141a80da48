"""Whose answers are judged: a probability sample of the units of a rollout, fixed before any of them asks. Pure.

Quality proven on answers that users chose to speak of is quality of the talkative ones. A hash that is keyed by the
deployment knows nothing of the arm, of the answers or of other rollouts, so that both arms are sampled alike.
"""

from __future__ import annotations

import hashlib


def in_sample(deployment_id: str, unit: str, share: float) -> bool:
    """Whether a unit's answers are judged; who is in the sample at one share is in it at any larger one."""
    return place(deployment_id, unit) < share


def place(deployment_id: str, name: str) -> float:
    """Where a unit or request stands, in [0, 1), in the fixed random order of a deployment's judging."""
    digest = hashlib.blake2b(name.encode(), key=deployment_id.encode()[:64], digest_size=8, person=b"judging")
    return (int.from_bytes(digest.digest(), "big") >> 11) / 2**53
