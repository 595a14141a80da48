"""The figures of a rollout in words: one line for each thing that was counted, measured or tested. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flyball.records import JSON

_UNITS = {"mean": "{:.1%}", "ms": "{:,.0f} ms", "usd": "{:.3g} USD"}
_GOOD = {
    "failures": "without failure or retry",
    "blocked": "not blocked",
    "feedback": "no complaint",
    "quality": "judged good",
}
_IN_WORDS = ("measures", "sample_ratio", "responses")
_SAID = ("reason", "by", "variant", "share", "decision", "alpha")
_COUNTED = ("candidate_", "live_", "mirrored_")
_TESTED = ("p_harm_", "p_worse_by_margin_")


WORSE, WITHIN = "worse", "within the margin"
_LOOKS = {
    WORSE: "one that is no worse looks this bad in {} rollouts",
    WITHIN: "one that is worse by the margin looks this good in {} rollouts",
}


def chance(what: str, p: float) -> str:
    """A p-value, and what it means: how often chance alone does as much. (An e-value e gives p = 1/e.)"""
    often = f"up to {p:.0%}".replace("%", " of 100") if p >= 0.01 else "less than 1 of 100"
    return f"p={p:.2g} ({_LOOKS.get(what, 'chance alone does as much in {}').format(often)})"


def lines_of(evidence: Mapping[str, JSON]) -> list[tuple[str, str]]:
    """(what, how it stands) for each figure of a transition's evidence, the counts first."""
    measures = evidence.get("measures") or {}
    lines = [*_counts(evidence), *_measured(measures), *_splits(evidence.get("sample_ratio"))]
    for name, one in (evidence.get("responses") or {}).items():
        lines.append((f"{name} given", _responses(one)))
    for key, value in evidence.items():
        if not measures and key.startswith(_TESTED) and isinstance(value, float):
            what = WORSE if key.startswith("p_harm_") else WITHIN
            measure = key.removeprefix("p_harm_").removeprefix("p_worse_by_margin_").replace("_", " ")
            lines.append((f"{measure} {what}", chance(what, value)))
            continue
        told = key in (*_IN_WORDS, *_SAID) or key.startswith(_COUNTED) or (measures and key.startswith(_TESTED))
        if not told and value is not None and key != "p_sample_ratio":
            lines.append((key.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value)))
    return lines


def _counts(evidence: Mapping[str, JSON]) -> Iterator[tuple[str, str]]:
    if "mirrored_requests" in evidence:
        failed, live = evidence.get("mirrored_failures", 0), evidence.get("live_failures", 0)
        usd = evidence.get("mirrored_usd") or 0.0
        units = evidence.get("mirrored_units", 0)
        words = f"{evidence['mirrored_requests']} of {units} units, {failed} failed (live {live}), {usd:.4g} USD"
        yield "copies", words
        if "mirrored_judged" in evidence:
            copies, originals = evidence.get("mirrored_quality", 0.0), evidence.get("live_quality", 0.0)
            yield (
                "judged good",
                f"copies {copies:.1%}, originals {originals:.1%} of {evidence['mirrored_judged']} pairs",
            )
        return
    for arm, name in (("candidate", "candidate"), ("live", "live")):
        if f"{arm}_requests" in evidence:
            yield name, f"{requests_of(arm, evidence)}; {evidence.get(f'{arm}_units', 0)} units judged"


def requests_of(arm: str, evidence: Mapping[str, Any]) -> str:
    """An arm's requests, and what became of them at their first attempt and in the end."""
    retried = evidence.get(f"{arm}_retried", 0)
    failed = f"{evidence[f'{arm}_requests']} requests, {evidence.get(f'{arm}_failures', 0)} failed"
    return f"{failed}, {retried} retried" if retried else failed


def _measured(measures: Mapping[str, JSON]) -> Iterator[tuple[str, str]]:
    for name, one in measures.items():
        arms = "; ".join(f"{arm} {_value(one[arm])}" for arm in ("candidate", "live") if isinstance(one.get(arm), dict))
        tests = [(WORSE, one.get("p_harm")), (WITHIN, one.get("p_worse_by_margin"))]
        proofs = ", ".join(f"{what}: {chance(what, p)}" for what, p in tests if p is not None)
        label = f"{name} (quantile {one['quantile']:g})" if "quantile" in one else _GOOD.get(name, name)
        yield label, " — ".join(part for part in (arms, proofs) if part)


def _value(arm: Mapping[str, JSON]) -> str:
    for key, form in _UNITS.items():
        if arm.get(key) is not None:
            return f"{form.format(arm[key])} of {arm.get('units', 0)} units"
    return "none"


def _splits(steps: Sequence[Mapping[str, JSON]] | None) -> Iterator[tuple[str, str]]:
    for one in steps or ():
        total = one["canary"] + one["live"]
        words = f"{one['canary']} of {total} units, {one['share']:.3g} planned: {chance('', one['p'])}"
        yield f"split at step {one['step'] + 1}", words


def _responses(one: Mapping[str, JSON]) -> str:
    arms = [f"{arm} {one[arm]['answered']} of {one[arm]['asked']}" for arm in ("candidate", "live") if arm in one]
    return ", ".join([*arms, f"the same: {chance('', one.get('p_differ', 1.0))}"])
