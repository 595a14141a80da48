"""Load a server and decide by a gate file. I/O: HTTP to the server, files in a folder."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from flyball.engines.catalog import SERVER
from flyball.evaluation.load.html import render
from flyball.evaluation.load.job import LoadJob, LoadResult, check, do_load
from flyball.evaluation.load.summary import MEASURES, LoadMeasure
from flyball.evaluation.url_evaluation import PROJECT, stand_in
from flyball.inference.http_client import ServerAccess
from flyball.inference.prompt_path import PROMPT_PATH
from flyball.records import EvalReport, GateDecision, Measure, SuiteRef, fingerprint_of, name_of
from flyball.rollout.gate import decide
from flyball.rollout.gate_file import load_gate
from flyball.telemetry import Progress

SUITE = "load"
NEVER = 1e12
"""Stands in a gate for a number that there is none of, because requests failed: above any limit of milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadVerdict:
    """What came of it; the files are in `folder`. Without a decision there is no gate, or nothing to decide on."""

    result: LoadResult
    decision: GateDecision | None
    is_decidable: bool
    folder: Path


def load(
    job: LoadJob, *, way: ServerAccess, gate_file: Path | None, out: Path | None, progress: Progress
) -> LoadVerdict:
    """Load the server; a wrong gate file is named before anything is sent.

    A run that the sender spoilt, or that was ended early, decides nothing.
    """
    check(job)
    policy = load_gate(gate_file, {SUITE: MEASURES}) if gate_file else None
    if policy is not None:
        tail = policy.alpha / len(policy.rules)  # what Holm asks of a proof of failure; a hair less, for rounding
        job = replace(job, level=1.0 - 2.0 * tail * (1.0 - 1e-9))
    folder = out or Path(tempfile.mkdtemp(prefix="flyball-load-"))
    folder.mkdir(parents=True, exist_ok=True)
    result = do_load(job, way, progress)
    decidable = not result.summary.invalid and not result.summary.interrupted
    decision = None
    if policy is not None and decidable:
        report = report_of(result)
        decision = decide(
            policy,
            project=PROJECT,
            release=report.release,
            report=report,
            report_name=name_of(report),
            items=(),
            baseline=None,
        )
    document = {"load": result, "gate": decision}
    (folder / "load.json").write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    (folder / "load.html").write_text(render(result, decision), encoding="utf-8")
    return LoadVerdict(result=result, decision=decision, is_decidable=decidable, folder=folder)


def report_of(result: LoadResult) -> EvalReport:
    """The run as a gate reads it."""
    run = result.summary
    asked = {"arrivals": result.arrivals, "objectives_ms": result.objectives_ms, "stream": result.stream}
    return EvalReport(
        project=PROJECT,
        release=stand_in(result.url, result.model, {}),
        dataset=None,
        suites=(SuiteRef(name=SUITE, fingerprint=fingerprint_of(asked), items=run.requests),),
        measures=tuple(gate_measure(one, run.level) for one in run.measures),
        items_hash=fingerprint_of([]),
        failures=run.requests - run.answered,
        engine=SERVER.name,
        prompt_path=PROMPT_PATH,
    )


def gate_measure(one: LoadMeasure, level: float) -> Measure:
    """A measure of the run as a gate holds it."""
    value, lower, upper = (NEVER if number is None else number for number in (one.value, one.lower, one.upper))
    return Measure(suite=SUITE, name=one.name, value=value, lower=lower, upper=upper, level=level, n=one.n)
