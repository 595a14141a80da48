"""Settings of the loop's way back."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class ImproveConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a finding becomes a proposal, and who says yes."""

    triggers: Annotated[tuple[str, ...], Meta(description="Kinds of findings that propose retraining.")] = (
        "quality",
        "drift",
    )
    min_corrections: Annotated[int, Meta(ge=1, description="Corrected answers needed to retrain.")] = 50
    cooldown_s: Annotated[float, Meta(ge=0, description="Seconds between two proposals for one route.")] = 3600.0
    automatic: Annotated[bool, Meta(description="true: retrain and deploy without a person's yes.")] = False
