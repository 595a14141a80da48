"""The command load: open-loop load on any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.output import ProgressLine, emit, json_option, pairs, show, table, warned

if TYPE_CHECKING:
    from flyball.workflows.load import LoadVerdict


class Duration(click.ParamType):  # type: ignore[type-arg]  # of later versions only
    """A time such as 500ms, 2s, 10m or 1h; as seconds."""

    name = "duration"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        from flyball.evaluation.load.objectives import seconds_of  # other commands start without it

        return seconds_of(value) if isinstance(value, str) else value


@click.command(
    "load",
    epilog="\b\nExamples:\n  flyball load http://127.0.0.1:8000/v1 --rate 20 --duration 1m\n"
    "  flyball load http://127.0.0.1:8000/v1 --find-rate --objective ttft=500ms,e2e=5s\n"
    "  flyball load http://127.0.0.1:8000/v1 --rate 5 --overload 4 --duration 2m --objective e2e=5s\n"
    "  flyball load http://127.0.0.1:8000/v1 --trace conv.csv.gz --speed 10 --gate gate.yaml",
)
@click.argument("url")
@click.option("--model", default="default", show_default=True, help="The `model` to ask for.")
@click.option("--api-key", help="A reference such as env:OPENAI_API_KEY.")
@click.option("--header", "headers", multiple=True, metavar="NAME=REF", help="Sent along: api-key=env:KEY.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True, help="Requests/s.")
@click.option("--ramp-to", type=click.FloatRange(0, min_open=True), help="The rate at the end; a straight line to it.")
@click.option(
    "--arrivals",
    "spread",
    type=click.Choice(["poisson", "constant", "gamma"]),
    default="poisson",
    show_default=True,
    help="How intervals between requests vary.",
)
@click.option(
    "--burst-shape",
    type=click.FloatRange(0.01, 100),
    default=0.25,
    show_default=True,
    help="Of gamma: below 1 requests come in bursts, 1 is Poisson.",
)
@click.option("--duration", "duration_s", type=Duration(), default="30s", show_default=True, help="Of one run.")
@click.option("--trace", type=click.Path(path_type=Path), help="Replay a trace: Azure's CSV or Mooncake's JSON Lines.")
@click.option("--speed", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="Of the replay.")
@click.option("--find-rate", is_flag=True, help="Search the highest rate at which --share of the answers are good.")
@click.option(
    "--overload",
    type=click.FloatRange(1, 1000),
    metavar="FACTOR",
    help="A quarter of the time at the rate, a quarter at FACTOR times it, then at the rate: how long till good again?",
)
@click.option("--prompts", type=click.Path(path_type=Path), help="What is asked in turn: JSON Lines, or a line each.")
@click.option(
    "--prompt-tokens", type=click.IntRange(1, 100_000), default=64, show_default=True, help="Of made-up ones."
)
@click.option("--max-tokens", type=click.IntRange(1, 100_000), default=64, show_default=True, help="Of an answer.")
@click.option("--stream/--plain", default=True, show_default=True, help="Answers in pieces, or whole.")
@click.option("--objective", default="", metavar="TIME=LIMIT,…", help="What is good: of ttft, tpot, gap, e2e.")
@click.option("--share", type=click.FloatRange(0, 1), default=0.99, show_default=True, help="That must be good.")
@click.option("--timeout", "timeout_s", type=Duration(), default="60s", show_default=True, help="For a whole answer.")
@click.option(
    "--max-lag",
    "max_lag_s",
    type=Duration(),
    default="10ms",
    show_default=True,
    help="The run is invalid when 1 % of the requests left later than this.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of arrivals and made-up prompts.")
@click.option("--gate", "gate_file", type=click.Path(path_type=Path), help="YAML of rules on the suite `load`.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for load.json and load.html.")
@click.option("--yes-this-server-is-mine", "is_mine", is_flag=True, help="Load a server that is not this machine.")
@json_option
def load_command(
    url: str,
    api_key: str | None,
    headers: tuple[str, ...],
    objective: str,
    gate_file: Path | None,
    out: Path | None,
    as_json: bool,
    **about_load: Any,
) -> int:
    """Send requests by plan, whether or not earlier ones are answered, and measure from the planned moments.

    So a server that stalls shows all the waiting that it caused. ctrl-c reports what there is. With --gate, exit code
    3: it failed, 6: it cannot tell, or the sender itself was too late.
    """
    from flyball.evaluation.load.job import LoadJob
    from flyball.evaluation.load.objectives import objectives_of
    from flyball.workflows.evaluate_url import access_of
    from flyball.workflows.load import load

    job = LoadJob(url=url, objectives=objectives_of(objective), **about_load)
    way = access_of(api_key=api_key, headers=headers)
    verdict = load(job, way=way, gate_file=gate_file, out=out, progress=ProgressLine())
    document = {"load": verdict.result, "gate": verdict.decision, "report": str(verdict.folder)}
    emit(document, as_json=as_json, text=load_text)
    return code_of(verdict, is_gated=gate_file is not None)


def code_of(verdict: LoadVerdict, *, is_gated: bool) -> int:
    """The exit code."""
    from flyball.cli.build import verdict_code

    if verdict.result.summary.interrupted:
        return 130
    if verdict.decision is not None:
        return verdict_code(verdict.decision.verdict)
    return verdict_code("inconclusive") if is_gated or not verdict.is_decidable else 0


def load_text(document: Mapping[str, Any]) -> str:
    """A load test for people."""
    from flyball.cli.result_text import decision_text
    from flyball.records.canonical import to_plain

    result, decision = document["load"], document["gate"]
    run = result.summary
    rows = [{"measure": m.name, "value": m.value, "lower": m.lower, "upper": m.upper, "n": m.n} for m in run.measures]
    facts: dict[str, Any] = {
        "sent": f"{run.requests} in {show(run.seconds)} s ({result.arrivals})",
        "answered": f"{run.answered}, {run.completion_tokens} tokens",
    }
    facts |= {f"{count} × {kind}": run.examples.get(kind, "")[:160] for kind, count in run.errors.items()}
    if run.itl_ms:
        facts["between tokens"] = {name: f"{value:.4g} ms" for name, value in run.itl_ms.items()}
    facts["sender"] = (
        f"late by {run.lag.p50_ms:.3g} ms (p50), {run.lag.p99_ms:.3g} ms (p99), {run.lag.max_ms:.3g} ms (max); "
        f"{run.lag.cpu_share:.0%} of a core; {run.connections} connections"
    )
    text = table(rows, ("measure", "value", "lower", "upper", "n"))
    if found := result.saturation:
        columns = ("rate", "held", "goodput_share", "lower", "upper", "requests", "e2e_p50_ms", "e2e_p99_ms")
        trials = [{name: getattr(trial, name) for name in columns} for trial in found.trials]
        text = f"{table(trials, columns)}\n\n{text}"
        rate = f"{found.rate:.4g} requests/s" if found.rate else "no rate held"
        facts["saturation"] = f"{rate} with {found.share:g} good; limited by the {found.limited_by}"
    if back := result.recovery:
        facts["recovery"] = "not within the run" if back.recovered_s is None else f"{back.recovered_s:.3g} s"
    facts["report"] = document["report"]
    warnings = [*(f"invalid: {reason}" for reason in run.invalid), *run.notes]
    text = f"{text}\n\n{warned(pairs(facts), warnings)}"
    return f"{text}\n\n{decision_text({'content': to_plain(decision)})}" if decision else text
