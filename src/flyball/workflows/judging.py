"""Measure any OpenAI-compatible server and decide by a gate file, without a project. I/O: HTTP, files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from flyball.addresses import ReachConfig, reach_of
from flyball.errors import InputError
from flyball.evaluation.report_files import read_report, write_report
from flyball.evaluation.standalone import evaluate_url
from flyball.inference.servers import Way
from flyball.records import EvalReport, GateDecision, name_of
from flyball.rollout.gate import decide
from flyball.rollout.gate_file import load_gate
from flyball.settings import proxy_for, secret
from flyball.telemetry import Progress


def _header(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise InputError(f"--header {name} names no value", cure="write NAME=VALUE; VALUE may be env:NAME or file:PATH")
    return name, value


def judge(
    url: str,
    *,
    model: str,
    suites: tuple[Path, ...],
    gate_file: Path | None,
    api_key: str | None,
    headers: Sequence[str] = (),
    out: Path | None,
    progress: Progress,
) -> tuple[EvalReport, GateDecision | None]:
    """The report on the server and, with a gate file, the decision."""
    if not suites:
        raise InputError("no suite to measure with", cure="give --suite FILE of JSON Lines: {text, label} per line")
    policy = load_gate(gate_file) if gate_file else None
    folder = out or Path(tempfile.mkdtemp(prefix="flyball-evaluation-"))
    report, items = evaluate_url(
        url,
        model=model,
        suite_paths=suites,
        way=Way(
            api_key=api_key,
            reach=reach_of(ReachConfig(headers=dict(map(_header, headers))), source="--header"),
            secrets=lambda reference: secret(reference, Path.cwd()),
            proxy_for=proxy_for,
        ),
        out=folder,
        progress=progress,
    )
    if policy is None:
        return report, None
    decision = decide(
        policy,
        project=report.project,
        release=report.release,
        report=report,
        report_name=name_of(report),
        items=items,
        baseline=None,
    )
    document = read_report(folder / "report.json")
    write_report(folder, document.report, document.details, decision=decision)
    return report, decision
