"""The command evaluate: the release that was built, any release by name, or any OpenAI-compatible URL."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from flyball.cli.build import one_stage, verdict_code, wait_option
from flyball.cli.output import ProgressLine, emit, json_option, say


class OrNone(click.ParamType):  # type: ignore[type-arg]  # of later versions only
    """A number, or `none` for what is not to be sent."""

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind, self.name = kind, f"{kind.__name__}|none"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        if not isinstance(value, str) or value == "none":
            return None if value == "none" else value
        try:
            return self.kind(value)
        except ValueError:
            return self.fail(f"{value!r} is neither a number nor none", parameter, context)


@click.command(
    "evaluate",
    epilog="\b\nExamples:\n  flyball evaluate\n  flyball evaluate 3f9c2a71b0de\n"
    "  flyball evaluate http://127.0.0.1:8000/v1 --model m --suite cases.jsonl --gate gate.yaml\n"
    "  flyball evaluate http://127.0.0.1:8000/v1 --suite faq.csv --text Question --label Answer",
)
@click.argument("what", metavar="[RELEASE|URL|verify REPORT]", required=False)
@click.argument("report", metavar="", required=False)
@click.option(
    "--suite",
    "suites",
    multiple=True,
    metavar="FILE|FAMILY:FILE",
    help="Cases: JSONL, JSON or CSV, or a public suite such as hatecheck:FILE; with a URL.",
)
@click.option("--gate", "gate_file", type=click.Path(path_type=Path), help="YAML of rules; with a URL.")
@click.option("--limit", type=click.IntRange(1), help="A seeded sample of so many cases of each suite; with a URL.")
@click.option("--text", "text_column", metavar="COLUMN", help="What is asked; default: by the columns' names.")
@click.option("--label", "label_column", metavar="COLUMN", help="What is expected; default: by the columns' names.")
@click.option("--model", default="default", show_default=True, help="The `model` to ask for; with a URL.")
@click.option("--api-key", help="A reference such as env:OPENAI_API_KEY; with a URL.")
@click.option("--header", "headers", multiple=True, metavar="NAME=REF", help="Sent along: api-key=env:KEY; with a URL.")
@click.option("--temperature", type=OrNone(float), default="0", show_default=True, help="0: greedy; with a URL.")
@click.option("--seed", type=OrNone(int), default="1", show_default=True, help="Sent with each request to a URL.")
@click.option("--max-tokens", type=OrNone(int), default="512", show_default=True, help="Of an answer; with a URL.")
@click.option(
    "--concurrency", type=click.IntRange(1, 1024), default=4, show_default=True, help="Requests to a URL at once."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1),
    default=60.0,
    show_default=True,
    help="Seconds for an answer; with a URL.",
)
@click.option(
    "--usd-per-million",
    type=(click.FloatRange(0), click.FloatRange(0)),
    metavar="PROMPT COMPLETION",
    help="Prices of tokens, for the cost of answers; with a URL.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the report; with a URL.")
@click.option("--project", "-C", "folder", metavar="DIR", help="The project's folder; default: this one or above.")
@wait_option
@json_option
def evaluate_command(
    what: str | None, report: str | None, folder: str | None, no_wait: bool, as_json: bool, **about_url: Any
) -> int:
    """Measure the release that was built, in its own engine; or any RELEASE by its name (its first digits do).

    With a URL: any OpenAI-compatible server, without a project. It is asked greedily unless told otherwise; what it
    was asked with is in the report. With --gate, exit code 3: it failed, 6: it cannot tell. Without: 5 when no
    case was answered.

    verify REPORT: recompute every gate decision on a report from its stored per-case scores.
    """
    if what == "verify":
        return verify_report(folder, report, as_json=as_json)
    if report is not None:
        raise click.UsageError(f"one release or URL at a time; {report!r} is one too many")
    if what is None:
        arguments = [
            *(["-C", folder] if folder else []),
            *(["--no-wait"] if no_wait else []),
            *(["--json"] if as_json else []),
        ]
        one_stage("evaluate", "evaluation", "").main(args=arguments, standalone_mode=False)
        return 0
    if about_url["suites"] or {".", ":", "/"} & set(what):  # an address, not a name
        return evaluate_server(what, about_url, as_json=as_json)
    from flyball.cli.result_text import evaluation_text, record_document
    from flyball.wiring import open_project
    from flyball.workflows.evaluate_release import evaluate_named

    with closing(open_project(Path(folder) if folder else None)) as project:
        measured = evaluate_named(project, what, wait=not no_wait, progress=ProgressLine(), say=say)
    emit({"evaluation": record_document(measured), "gate": None}, as_json=as_json, text=evaluation_text)
    return 0


def verify_report(folder: str | None, report: str | None, *, as_json: bool) -> int:
    """Recompute the decisions on a report; CorruptionError where one does not follow from the scores."""
    from flyball.cli.output import pairs
    from flyball.wiring import open_project
    from flyball.workflows.gate import verify_decisions

    if report is None:
        raise click.UsageError("verify needs the name of a report; its first digits do (see `flyball models`)")
    with closing(open_project(Path(folder) if folder else None)) as project:
        emit(verify_decisions(project, report), as_json=as_json, text=pairs)
    return 0


def evaluate_server(url: str, options: Mapping[str, Any], *, as_json: bool) -> int:
    """Ask the cases of a server, and decide where there is a gate; the exit code."""
    from flyball.cli.result_text import evaluation_text, record_document
    from flyball.evaluation.config import EvaluateConfig
    from flyball.evaluation.suites.files import Columns
    from flyball.workflows.evaluate_url import access_of, judge, why_no_answer

    request = {name: options[name] for name in ("temperature", "seed", "max_tokens") if options[name] is not None}
    judged = judge(
        url,
        model=options["model"],
        suites=options["suites"],
        gate_file=options["gate_file"],
        api_key=options["api_key"],
        headers=options["headers"],
        out=options["out"],
        columns=Columns(text=options["text_column"], label=options["label_column"]),
        request=request,
        config=EvaluateConfig(concurrency=options["concurrency"], max_items=options["limit"]),
        timeout_s=options["timeout_s"],
        usd_per_million=options["usd_per_million"],
        progress=ProgressLine(),
    )
    document = {
        "evaluation": record_document(judged.report),
        "gate": record_document(judged.decision) if judged.decision else None,
        "cases": judged.details.outcomes,
        "errors": judged.details.errors,
        "conditions": judged.details.conditions,
        "notes": judged.details.notes,
        "report": str(judged.folder),
    }
    way = access_of(api_key=options["api_key"], headers=options["headers"])
    silent = why_no_answer(url, model=options["model"], details=judged.details, way=way)
    document["error"] = {"code": silent.code, "message": silent.message, "cure": silent.cure} if silent else None
    emit(document, as_json=as_json, text=evaluation_text)
    if silent:
        say(f"{click.style('error:', fg='red', bold=True)} {silent}")
    if judged.decision:
        return verdict_code(judged.decision.verdict)
    return silent.exit_code if silent else 0
