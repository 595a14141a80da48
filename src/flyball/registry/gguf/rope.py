"""Rotary position embeddings as a config.json says them, and as GGUF has them. Pure.

Two spellings: `rope_parameters` (transformers 5), and `rope_theta` beside `rope_scaling`, whose kind is `rope_type` or,
older, `type`. Scalings that llama.cpp computes as transformers does are converted: linear, yarn, llama3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flyball.errors import InputError
from flyball.registry.config_keys import refused

_KEYS: Mapping[str, frozenset[str]] = {
    "default": frozenset(),
    "linear": frozenset({"factor"}),
    "yarn": frozenset({"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow"}),
    "llama3": frozenset({"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"}),
}
_ALWAYS = {"rope_theta", "rope_type", "type"}
_NEUTRAL: Mapping[str, Any] = {"partial_rotary_factor": 1.0, "truncate": True}
_BETA_FAST, _BETA_SLOW = 32.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """Base frequency and scaling; `factors` divide each frequency (llama3)."""

    base: float
    kind: str = "default"
    factor: float = 1.0
    original_context: int = 0
    factors: tuple[float, ...] = ()


def rope_of(config: Mapping[str, Any], head_size: int) -> Rope:
    """The rotary embedding that a config.json asks for; InputError for one that would not be the same in llama.cpp."""
    name = "rope_parameters" if config.get("rope_parameters") else "rope_scaling"
    given = config.get(name) or {}
    if config.get("rope_parameters") and config.get("rope_scaling") not in (None, {}, config["rope_parameters"]):
        raise refused("rope_scaling", config["rope_scaling"])
    if not isinstance(given, Mapping) or any(isinstance(value, Mapping) for value in given.values()):
        raise refused(name, given)  # by kind of layer
    kind = str(given.get("rope_type") or given.get("type") or "default")
    if kind not in _KEYS:
        raise InputError(f"rope scaling {kind} cannot be packaged", cure=f"use one of {', '.join(_KEYS)}")
    for key, value in given.items():
        neutral = value is None or value == _NEUTRAL.get(key, ...)
        if key not in _ALWAYS | _KEYS[kind] and not neutral and not _is_of_the_model(key, value, config):
            raise refused(f"{name}.{key}", value)
    base = float(given.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    if kind == "default":
        return Rope(base=base)
    needed = _KEYS[kind] if kind == "llama3" else {"factor"}
    if missing := sorted(needed - {key for key, value in given.items() if value is not None}):
        raise InputError(f"{name} of kind {kind} has no {', '.join(missing)}", cure="complete config.json")
    factor = float(given["factor"])
    original = int(given.get("original_max_position_embeddings") or config["max_position_embeddings"])
    if kind == "yarn":
        _check_yarn(given, factor)
    factors = _llama3(given, base, head_size, original) if kind == "llama3" else ()
    return Rope(base=base, kind=kind, factor=factor, original_context=original, factors=factors)


def _is_of_the_model(key: str, value: object, config: Mapping[str, Any]) -> bool:
    """Whether a key repeats what the model says elsewhere, as transformers writes it."""
    return key in ("max_position_embeddings", "original_max_position_embeddings") and value == config.get(
        "max_position_embeddings"
    )


def _check_yarn(given: Mapping[str, Any], factor: float) -> None:
    """llama.cpp has yarn's usual constants only: those of the paper (Peng et al. 2023, arXiv 2309.00071)."""
    usual = 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0
    attention = given.get("attention_factor")
    if attention is not None and not math.isclose(attention, usual, rel_tol=1e-6):
        raise refused("rope_scaling.attention_factor", attention)
    for key, wanted in (("beta_fast", _BETA_FAST), ("beta_slow", _BETA_SLOW)):
        if given.get(key) not in (None, wanted):
            raise refused(f"rope_scaling.{key}", given[key])


def _llama3(given: Mapping[str, Any], base: float, head_size: int, original: int) -> tuple[float, ...]:
    """What Llama 3.1 divides each frequency by: nothing for short waves, `factor` for long ones, between in between."""
    low, high, factor = float(given["low_freq_factor"]), float(given["high_freq_factor"]), float(given["factor"])

    def divisor(frequency: float) -> float:
        wave = 2 * math.pi / frequency
        if wave < original / high:
            return 1.0
        if wave > original / low:
            return factor
        smooth = (original / wave - low) / (high - low)
        return 1.0 / ((1.0 - smooth) / factor + smooth)

    return tuple(divisor(base ** (-place / head_size)) for place in range(0, head_size, 2))
