"""Commands that only look: status, lineage, models, requests, cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.lineage_text import lineage_text
from flyball.cli.output import emit, emit_lines, json_option, pairs, show, table, with_ledger, with_project
from flyball.records.identity import short
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.records import RequestRecord
    from flyball.storage.ledger import Ledger


@click.command("status")
@json_option
@with_project
def status_command(project: Project, as_json: bool) -> None:
    """The loop at a glance: the newest record of each stage, what is live, what is under way."""
    from flyball.workflows.status import overview

    emit(overview(project), as_json=as_json, text=status_text)


def status_text(document: Mapping[str, Any]) -> str:
    serving = document["serving"]
    facts: dict[str, Any] = {
        "project": document["project"],
        "serving": serving["gateway"] + "/v1" if serving else "no (`flyball up` serves)",
    }
    for route, live in document["live"].items():
        facts[f"live on {route}"] = short(live["release"] or "–") if live else "nothing yet (`flyball run`)"
    if (missing := document["missing"]) is not None:
        facts["missing"] = f"{missing['what']}: {missing['cure']}"
    for underway in document["deployments"]:
        facts["under way"] = f"{short(underway['release'])} {underway['state']}"
    last = document["last_deployment"]
    if last and last["state"] in ("failed", "rolled_back", "paused"):
        facts[f"last deployment {last['state'].replace('_', ' ')}"] = last["why"]
    for stage, fact in document["stages"].items():
        facts[stage] = stage_line(fact) if fact else "–"
    facts |= {"findings": document["findings"], "proposals": document["proposals"]}
    return pairs(facts)


def stage_line(fact: Mapping[str, Any]) -> str:
    age = (time.time() - fact["at_ms"] / 1000) / 60
    details = "  ".join(f"{key} {show(value)}" for key, value in fact.items() if key not in ("id", "at_ms"))
    return f"{short(fact['id'])}  {details}  ({age:.0f} min ago)"


@click.command(
    "lineage",
    epilog="\b\nExamples:\n  flyball lineage 0199…      a request id: back to its training rows\n"
    "  flyball lineage C0042      a person: every row, dataset, model and release",
)
@click.argument("name")
@click.option("--rows", "limit", type=click.IntRange(0), default=20, show_default=True, help="Rows listed at most.")
@click.option("--all", "every", is_flag=True, help="List every row.")
@json_option
@with_project
def lineage_command(project: Project, name: str, limit: int, every: bool, as_json: bool) -> None:
    """Where an answer or record came from, back to its rows; where a row or a person went, forward."""
    from flyball.workflows.lineage import lineage

    most = None if every else limit
    emit(lineage(project, name, most_rows=most), as_json=as_json, text=lambda found: lineage_text(found, most))


@click.command(
    "requests",
    epilog="\b\nExamples:\n  flyball requests --outcome error\n  flyball requests ID\n  flyball requests ID --json",
)
@click.argument("request", required=False, metavar="[ID]")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Requests shown, newest first.")
@click.option("--release", help="Answered by this release: its name, or the first digits that tables show.")
@click.option(
    "--outcome", type=click.Choice(["ok", "error", "aborted", "cut", "refused"]), help="Only requests that ended so."
)
@json_option
@with_ledger
def requests_command(
    ledger: Ledger, request: str | None, limit: int, release: str | None, outcome: str | None, as_json: bool
) -> None:
    """Recorded requests, newest first; or one of them: what was asked and said, how long it took, why it failed."""
    from flyball.storage.traffic import get_request, search_requests

    if request is not None:
        facts = request_facts(get_request(ledger, request))
        emit(facts | {"texts": texts_of_request(ledger, request, as_json=as_json)}, as_json=as_json, text=pairs)
        return
    named = whole_name(ledger, release) if release else None
    found = search_requests(ledger, route=None, release=named, outcome=outcome, text=None, limit=limit, before_seq=None)
    emit_lines(
        [request_facts(seen.record) for seen in found],
        as_json=as_json,
        columns=(
            *("started_ms", "id", "path", "route", "release", "variant", "outcome", "status"),
            *("queue_ms", "engine_ms", "total_ms", "cost_usd", "cause"),
        ),
    )


def whole_name(ledger: Ledger, release: str) -> str:
    """The whole name of a release from its first digits; what the ledger does not hold stays as it was typed."""
    from flyball.errors import NotFoundError

    try:
        return ledger.get(release).id
    except NotFoundError:
        return release


def request_facts(record: RequestRecord) -> dict[str, Any]:
    """A record as it is, the path that was asked, and the engine's time: what is left when waiting is taken off."""
    from dataclasses import asdict

    from flyball.records.runtime import ASKED_PATHS

    engine_ms = round(max(0.0, record.total_ms - record.queue_ms), 3) if record.attempts else 0.0
    return asdict(record) | {"path": ASKED_PATHS[record.kind], "engine_ms": engine_ms}


def texts_of_request(ledger: Ledger, request: str, *, as_json: bool) -> Any:
    """What was asked and said, redacted: as it is kept, or as lines; None where it was erased or is gone."""
    from flyball.console.conversation import turns
    from flyball.storage.payload_texts import payload_document
    from flyball.storage.traffic import payload_of

    payload = payload_of(ledger, request)
    if payload is None or payload.redacted is None:
        return None
    if as_json:
        return payload_document(payload.redacted)
    return "".join(f"\n  {turn.role}: {turn.text}" for turn in turns(payload.redacted))


@click.command("cost")
@json_option
@with_ledger
def cost_command(ledger: Ledger, as_json: bool) -> None:
    """What the loop costs: by kind, per request, per good answer, by key and release; and this month's budgets."""
    from flyball.cost.budgets import budget_states, declared_budgets
    from flyball.cost.charges import summary
    from flyball.records.canonical import to_plain

    budgets = budget_states(ledger, declared_budgets(ledger))
    document: Any = to_plain(summary(ledger))
    emit(document | {"budgets": to_plain(budgets)}, as_json=as_json, text=cost_text)


def cost_text(document: Mapping[str, Any]) -> str:
    """The sums, and a table of the budgets of keys and teams where there are any."""
    sums = pairs({name: value for name, value in document.items() if name != "budgets"})
    if not document["budgets"]:
        return sums
    rows = [{"budget": one["account"].split(":")[0] + " " + one["name"], **one} for one in document["budgets"]]
    columns = ("budget", "limit_usd", "spent_usd", "granted_usd", "forecast_usd")
    return f"{sums}\n\n{table(rows, columns)}"
