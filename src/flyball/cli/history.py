"""The history of deployments as a person reads it: what, by whom, why, each step with its reason and key figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from flyball.cli.output import clock, show
from flyball.records.identity import short
from flyball.rollout.evidence_text import WITHIN, WORSE, chance, lines_of, requests_of

COLOURS = {"live": "green", "rolled_back": "red", "failed": "red", "paused": "yellow", "retired": "bright_black"}
_INDENT = " " * 38
STEPS = {"canary": "canary {:.3g} %", "shadow": "mirrored {:.3g} %", "b": "A/B {:.3g} %"}


def history_text(rows: Sequence[Mapping[str, Any]], *, whole: bool) -> str:
    """Deployments, newest first; `whole`: with every figure of every step."""
    return "\n\n".join(_deployment(row, whole) for row in rows) or "No deployment yet: `flyball run` asks for one."


def _deployment(row: Mapping[str, Any], whole: bool) -> str:
    state = row["state"]
    steps = [STEPS[step["variant"]].format(100 * step["share"]) for step in row["steps"]]
    plan = ", ".join([row["strategy"], *steps]) if row["strategy"] == "blue-green" or not steps else ", ".join(steps)
    standing = "live" if row["serving"] else "replaced" if state == "live" else state.replace("_", " ")
    head = click.style(standing, fg=COLOURS.get(state), bold=True)
    lines = [
        f"{head}  {click.style(short(row['release']), bold=True)} on {row['route']}  ({plan})",
        f"  deployment {row['id']}, by {row['requested_by']}" + (f": {row['reason']}" if row["reason"] else ""),
    ]
    for number, transition in enumerate(row["transitions"]):
        lines += _transition(row, transition, first=number == 0, whole=whole)
    if row["now"]:
        first, *rest = _figures(row["now"]["figures"], whole) or ["no traffic yet"]
        lines += [f"  {clock(row['now']['at_ms'])}  {'so far':<14} {first}", *(_INDENT + line for line in rest)]
    return "\n".join(lines)


def _transition(row: Mapping[str, Any], transition: Mapping[str, Any], *, first: bool, whole: bool) -> list[str]:
    evidence, state = transition["evidence"], transition["state"]
    asked = first and state == "requested"
    reason = f"on gate decision {short(row['decision'])}" if asked else str(evidence.get("reason", ""))
    by = f" (by {evidence['by']})" if evidence.get("by") and not asked else ""
    label = state.replace("_", " ")
    if state == "ramping" and transition["step"] < len(row["steps"]):
        step = row["steps"][transition["step"]]
        label = STEPS[step["variant"]].format(100 * step["share"])
    lines = [f"  {clock(transition['at_ms'])}  {click.style(f'{label:<14}', fg=COLOURS.get(state))} {reason}{by}"]
    return lines if asked else [*lines, *(_INDENT + line for line in _figures(evidence, whole))]


def _figures(evidence: Mapping[str, Any], whole: bool) -> list[str]:
    """The figures that a person looks for first: both arms, the worst p-values; with `whole` all, line by line."""
    if whole:
        return [f"{what}: {how}" for what, how in lines_of(evidence)]
    parts = []
    for arm, name in (("candidate", "it"), ("live", "live")):
        if f"{arm}_requests" in evidence:
            parts.append(f"{name}: {requests_of(arm, evidence)}")
    if "mirrored_requests" in evidence:
        parts.append(
            f"{evidence['mirrored_requests']} copies, {evidence.get('mirrored_failures', 0)} failed (live "
            f"{evidence.get('live_failures', 0)}), {show(evidence.get('mirrored_usd', 0.0))} USD"
        )
    for prefix, what in (("p_harm_", WORSE), ("p_worse_by_margin_", WITHIN)):
        p_values = {k.removeprefix(prefix): v for k, v in evidence.items() if k.startswith(prefix)}
        if p_values:
            name, p = (min if prefix == "p_harm_" else max)(p_values.items(), key=lambda item: item[1])
            parts.append(f"{name} {what}: {chance(what, p)}")
    return ["; ".join(parts)] if parts else []
