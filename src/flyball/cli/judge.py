"""Commands of judged quality: judge open, judge record."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

import click

from flyball.cli.output import emit, emit_lines, json_option, pairs, say, with_project
from flyball.wiring import Project


@click.group("judge")
def judge_command() -> None:
    """Judge a random sample of a rollout's answers, blind: only that can prove quality."""


@judge_command.command(
    "open",
    epilog='\b\nExample:\n  flyball judge open --json > answers.jsonl    then add "score": 0 to 1 to each line',
)
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)
@json_option
@with_project
def judge_open(project: Project, limit: int, as_json: bool) -> None:
    """Sampled answers that wait for a verdict: what was asked and answered, and not by which release."""
    from flyball.workflows.verdicts import open_items

    items, waiting = open_items(project, limit=limit)
    if as_json:
        emit_lines(items, as_json=True, columns=())
    else:
        emit_lines([for_people(one) for one in items], as_json=False, columns=("request_id", "asked", "answer"))
    say(f"{waiting} answers wait for a verdict")


def for_people(item: dict[str, Any]) -> dict[str, Any]:
    """An item as one line of a table: the last thing that was asked."""
    from flyball.storage.texts import user_text

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
    from flyball.workflows.verdicts import record_verdicts

    recorded = record_verdicts(project, file, judge=judge)
    emit(to_plain(recorded), as_json=as_json, text=pairs)
    for problem in recorded.wrong:
        print(problem, file=sys.stderr)
    return 2 if recorded.wrong else 0
