"""What header.json of a classifier's folder says: all but the weights. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0)]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file that a classifier learned from."""

    name: str
    sha256: str
    rows: Count
    licence: str | None = None


class HeldOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows that neither the weights nor a setting nor the threshold saw, counted by what was said of them."""

    true_positives: Count
    false_negatives: Count
    false_positives: Count
    true_negatives: Count
    macro_f1: float
    macro_f1_lower: float
    macro_f1_upper: float
    level: float
    interval: str


class HashedNgrams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Features: which buckets a text has; the weight of a bucket is its number × `scale`."""

    bits: Annotated[int, Meta(ge=8, le=22)]
    scale: float
    intercept: float


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A classifier: what it tells apart, how, and what it is known to get right.

    A text is `positive` from `threshold` on. `settings` were chosen on `chosen_on` rows held out for that. `left_out`:
    rows by the reason why they were not used.
    """

    format: Literal[1] = 1
    kind: str
    positive: str
    negative: tuple[str, ...]
    features: HashedNgrams
    threshold: Annotated[float, Meta(ge=0, le=1)]
    held_out: HeldOut
    trained_on: Count
    chosen_on: Count
    settings: dict[str, float]
    left_out: dict[str, int]
    data: tuple[Source, ...]
    weights_sha256: str
