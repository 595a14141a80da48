"""Measure any OpenAI-compatible server and decide by a gate file, without a project. I/O: HTTP, files."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flyball.addresses import ReachConfig, reach_of
from flyball.cost.config import CostConfig
from flyball.cost.prices import request_usd
from flyball.errors import ConfigError, InputError, UpstreamError, nearest
from flyball.evaluation.config import EvaluateConfig
from flyball.evaluation.reports.answer_costs import Price
from flyball.evaluation.reports.details import Details
from flyball.evaluation.reports.files import read_report, write_report
from flyball.evaluation.suites.files import Columns
from flyball.evaluation.suites.suite import Suite
from flyball.evaluation.url_evaluation import GREEDY, evaluate_url, load_cases
from flyball.inference.http_client import ServerAccess
from flyball.inference.model_list import model_names
from flyball.records import JSON, EvalReport, GateDecision, name_of
from flyball.rollout.config import GateConfig
from flyball.rollout.gate import decide
from flyball.rollout.gate_file import load_gate
from flyball.settings import proxy_for, secret
from flyball.telemetry import Progress

SLICES_SHOWN = 20
NAMES_SHOWN = 10


def _header(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise InputError(f"--header {name} names no value", cure="write NAME=VALUE; VALUE may be env:NAME or file:PATH")
    return name, value


def access_of(*, api_key: str | None, headers: Sequence[str]) -> ServerAccess:
    """How a server of the command line is reached: NAME=VALUE each header, references resolved here."""
    return ServerAccess(
        api_key=api_key,
        reach=reach_of(ReachConfig(headers=dict(map(_header, headers))), source="--header"),
        secrets=lambda reference: secret(reference, Path.cwd()),
        proxy_for=proxy_for,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlVerdict:
    """What came of it; the files are in `folder`."""

    report: EvalReport
    decision: GateDecision | None
    details: Details
    folder: Path


def judge(
    url: str,
    *,
    model: str,
    suites: Sequence[str],
    gate_file: Path | None,
    api_key: str | None,
    headers: Sequence[str] = (),
    out: Path | None,
    columns: Columns | None = None,
    request: Mapping[str, JSON] = GREEDY,
    config: EvaluateConfig | None = None,
    timeout_s: float = 60.0,
    usd_per_million: tuple[float, float] | None = None,
    progress: Progress,
) -> UrlVerdict:
    """The report on the server and, with a gate file, the decision; wrong files are named before anything is asked."""
    if not suites:
        raise InputError(
            "no suite to measure with", cure="give --suite FILE of JSON Lines: {text, label} per line, or FAMILY:FILE"
        )
    cases = load_cases(suites, columns=columns, config=config)
    policy = load_gate(gate_file, cases.measures()) if gate_file else None
    if policy:
        check_slices(policy, cases.suites, str(gate_file))
    folder = out or Path(tempfile.mkdtemp(prefix="flyball-evaluation-"))
    report, items = evaluate_url(
        url,
        model=model,
        cases=cases,
        way=access_of(api_key=api_key, headers=headers),
        request=request,
        timeout_s=timeout_s,
        price=price_of(usd_per_million),
        out=folder,
        progress=progress,
    )
    document = read_report(folder / "report.json")
    if policy is None:
        return UrlVerdict(report=report, decision=None, details=document.details, folder=folder)
    decision = decide(
        policy,
        project=report.project,
        release=report.release,
        report=report,
        report_name=name_of(report),
        items=items,
        baseline=None,
    )
    write_report(folder, document.report, document.details, decision=decision)
    return UrlVerdict(report=report, decision=decision, details=document.details, folder=folder)


def check_slices(policy: GateConfig, suites: Sequence[Suite], source: str) -> None:
    """ConfigError for a rule on a slice that no case of its suite is in: it could never be decided."""
    by_name = {suite.name: suite for suite in suites}
    for rule in policy.rules:
        items = by_name[rule.suite].items
        dimensions = {dimension for item in items for dimension in item.groups}
        known = {f"{dimension}={value}" for item in items for dimension, value in item.groups.items()}
        known |= {name for item in items for name in (item.slice, item.expected) if name}
        if rule.slice is None or rule.slice in known or set(rule.slice.split("+")) <= dimensions:
            continue
        close = nearest(rule.slice, [*known, *dimensions])
        some = ", ".join(sorted({one for item in items for one in (item.slice, *dimensions) if one})[:SLICES_SHOWN])
        raise ConfigError(
            f"{source}: no case of {rule.suite} is in the slice {rule.slice!r}",
            cure=f"did you mean {close}?" if close else f"its slices and dimensions are {some or 'none'}",
        )


def price_of(usd_per_million: tuple[float, float] | None) -> Price | None:
    """Dollars for tokens in and out at these prices of a million; None where none are given."""
    if usd_per_million is None:
        return None
    return lambda prompt, completion: request_usd(
        CostConfig(), prompt_tokens=prompt, completion_tokens=completion, own=usd_per_million
    )


def why_no_answer(url: str, *, model: str, details: Details, way: ServerAccess) -> UpstreamError | None:
    """Why no case at all was answered, and what to do; None where one was; asks a server for its models after a 404."""
    if details.answered or not details.asked:
        return None
    reason, _ = max(details.errors.items(), key=lambda pair: pair[1], default=("no reason given", 0))
    cure = "start that server, or fix the URL"
    if " answered " in reason:
        cure = "look at the server's log"
    if refused := [
        name for name in GREEDY if name in reason and (" answered 400" in reason or " answered 422" in reason)
    ]:
        cure = "leave out what the server refuses: " + " ".join(f"--{name.replace('_', '-')} none" for name in refused)
    if " answered 404" in reason:
        cure = _other_model(url, model, way)
    elif " answered 401" in reason or " answered 403" in reason:
        cure = "give a key: --api-key env:NAME"
    return UpstreamError(f"none of {details.asked} cases was answered: {reason}", cure=cure)


def _other_model(url: str, model: str, way: ServerAccess) -> str:
    try:
        names = model_names(url, way)
    except UpstreamError:
        names = ()
    if not names or model in names:
        return "give the base URL of an OpenAI API, and the model's name there: --model NAME"
    more = f" (or {', '.join(names[1:NAMES_SHOWN])})" if len(names) > 1 else ""
    return f"that server knows no model {model}: --model {names[0]}{more}"
