"""Commands that compare a candidate with what is live, answer by answer: judge, replay."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

import click

from flyball.cli.output import ProgressLine, emit, emit_lines, json_option, pairs, say, table, with_project
from flyball.wiring import Project


@click.group("judge")
def judge_command() -> None:
    """Judge a random sample of a rollout's answers, blind: only that can prove quality."""


@judge_command.command(
    "open",
    epilog='\b\nExample:\n  flyball judge open --json > answers.jsonl    then add "score": 0 to 1 to each line',
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Answers shown.")
@json_option
@with_project
def judge_open(project: Project, limit: int, as_json: bool) -> None:
    """Sampled answers that wait for a verdict: what was asked and answered, and not by which release."""
    from flyball.workflows.judge import open_items

    items, waiting = open_items(project, limit=limit)
    if as_json:
        emit_lines(items, as_json=True, columns=())
    else:
        emit_lines([for_people(one) for one in items], as_json=False, columns=("request_id", "asked", "answer"))
    say(f"{waiting} answers wait for a verdict")


def for_people(item: dict[str, Any]) -> dict[str, Any]:
    """An item as one line of a table: the last thing that was asked."""
    from flyball.storage.payload_texts import user_text

    return {**item, "asked": user_text(item)}


@judge_command.command("record", epilog="\b\nExample:\n  flyball judge record answers.jsonl --judge ann")
@click.argument("file", type=click.File("rb"))
@click.option("--judge", default="local", show_default=True, help="Who judged, where a line does not say.")
@json_option
@with_project
def judge_record(project: Project, file: BinaryIO, judge: str, as_json: bool) -> int:
    """Record verdicts from JSON Lines (- is standard input): {"request_id", "score" (0 to 1) | "label", "judge"}.

    Twice records once. A label is what the right answer would have been: the score is then whether it was given.
    """
    from flyball.records.canonical import to_plain
    from flyball.workflows.judge import record_verdicts

    recorded = record_verdicts(project, file, judge=judge)
    emit(to_plain(recorded), as_json=as_json, text=pairs)
    for problem in recorded.wrong:
        print(problem, file=sys.stderr)
    return 2 if recorded.wrong else 0


@click.command(
    "replay",
    epilog="\b\nExamples:\n  flyball replay 3f9c2a71b0de\n  flyball replay 3f9c2a71b0de --requests 500 --act",
)
@click.argument("release")
@click.option("--against", metavar="RELEASE", help="Default: what is live on the route.")
@click.option("--route", help="Whose requests; default: the project's own.")
@click.option("--requests", type=click.IntRange(1, 20_000), default=200, show_default=True, help="The newest so many.")
@click.option("--act", is_flag=True, help="Roll the release back when it is proven worse.")
@json_option
@with_project
def replay_command(
    project: Project, release: str, against: str | None, route: str | None, requests: int, act: bool, as_json: bool
) -> int:
    """Have a release and the live one answer recorded requests again, in pairs: is it worse? Exit code 3 if so.

    A replay may take a release back, never promote it. It is no traffic: nothing is recorded, no key is charged.
    """
    from flyball.workflows.replay import replay

    result = replay(project, release, against=against, route=route, requests=requests, act=act, progress=ProgressLine())
    finding = result.finding
    document = {
        "id": finding.id,
        "release": finding.release,
        "explanation": finding.explanation,
        "usd": result.usd,
        "rolled_back": result.taken_back,
        **finding.evidence,
    }
    emit(document, as_json=as_json, text=replay_text)
    return 3 if result.verdict == "worse" else 0


def replay_text(document: dict[str, Any]) -> str:
    """The verdict, then a line for each measure."""
    names = ("verdict", "explanation", "pairs", "clusters", "agreement", "usd", "rolled_back")
    rows = [{"measure": name, **figures} for name, figures in document["measures"].items()]
    columns = ("measure", "clusters", "difference", "ratio", "bounds", "p_harm", "p_worse_by_margin")
    return pairs({name: document[name] for name in names}) + "\n\n" + table(rows, columns)
