"""Commands of the way back: watch, improve, feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flyball.cli.output import ProgressLine, emit, emit_lines, json_option, pairs, say, with_ledger, with_project
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.storage.ledger import Ledger


@click.command("watch")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Findings shown, newest first.")
@json_option
@with_ledger
def watch_command(ledger: Ledger, limit: int, as_json: bool) -> None:
    """Findings of monitoring, newest first."""
    from flyball.records import Finding
    from flyball.records.canonical import to_plain

    rows = [to_plain(stored.record) for stored in ledger.find(Finding, limit=limit)]
    emit_lines(
        rows, as_json=as_json, columns=("id", "kind", "severity", "measure", "value", "reference", "explanation")
    )


@click.command("improve", epilog="\b\nExamples:\n  flyball improve\n  flyball improve --accept latest")
@click.option("--accept", metavar="PROPOSAL", help="Do what a proposal asks for; `latest`: the newest one.")
@json_option
@with_project
def improve_command(project: Project, accept: str | None, as_json: bool) -> int:
    """Proposals, newest first; with --accept: curate corrected answers, retrain, gate, and deploy what passes."""
    from flyball.records import Proposal
    from flyball.records.canonical import to_plain

    if accept is None:
        rows = [to_plain(stored.record) for stored in project.ledger.find(Proposal, limit=20)]
        emit_lines(rows, as_json=as_json, columns=("id", "action", "route", "corrections", "rationale"))
        return 0
    from flyball.cli.build import verdict_code
    from flyball.cli.result_text import run_document, run_text
    from flyball.workflows.improve import accept_proposal

    result = accept_proposal(project, accept, progress=ProgressLine(), say=say)
    emit(run_document(project, result), as_json=as_json, text=run_text)
    return verdict_code(result.decision.verdict)


@click.command("feedback", epilog="\b\nExample:\n  flyball feedback 0199… --correction refund_request")
@click.argument("request_id")
@click.option("--score", type=click.FloatRange(0, 1), help="0 (bad) to 1 (good).")
@click.option("--label", help="good, bad or a word of yours.")
@click.option("--correction", help="What the answer should have been.")
@click.option("--comment", help="Anything else; kept sealed.")
@click.option("--key", default=None, help="A reference to your API key, such as env:FLYBALL_KEY.")
@json_option
@with_project
def feedback_command(
    project: Project,
    request_id: str,
    score: float | None,
    label: str | None,
    correction: str | None,
    comment: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Say what you think of one answer; goes to the gateway that runs."""
    from flyball.workflows.improve import send_feedback

    given = {"score": score, "label": label, "correction": correction, "comment": comment}
    body = {"request_id": request_id, **{name: value for name, value in given.items() if value is not None}}
    emit(send_feedback(project, body, key), as_json=as_json, text=pairs)
