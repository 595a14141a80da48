"""Commands of access, privacy and audit: key, team, subject, audit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from flyball.cli.output import (
    emit,
    emit_lines,
    json_option,
    pairs,
    say,
    with_ledger,
    with_new_ledger,
    with_project_or_state,
)
from flyball.errors import CorruptionError, NotFoundError, RefusedError
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.storage.ledger import Ledger


@click.group("key")
def key_command() -> None:
    """Create, list and revoke API keys."""


@key_command.command(
    "create",
    epilog="\b\nExamples:\n  flyball key create shop-web --budget-usd 5 --requests-per-minute 600\n"
    "  flyball key create ops --admin --state .flyball-gateway\n"
    "  flyball key create ops --admin --secret env:FLYBALL_ADMIN_KEY",
)
@click.argument("name")
@click.option("--admin", is_flag=True, help="May force variants and give feedback on any request.")
@click.option("--team", help="Whose limits hold for it too: see `flyball team`.")
@click.option("--route", "routes", multiple=True, help="Only these routes; default: all.")
@click.option("--requests-per-minute", type=int, help="Requests over it get 429; default: no limit.")
@click.option("--tokens-per-minute", type=int, help="Prompt and answer together; default: no limit.")
@click.option("--concurrency", type=int, help="Requests at once; default: no limit.")
@click.option("--budget-usd", type=float, help="Hard: requests over it get 429.")
@click.option("--days", type=click.FloatRange(0, min_open=True), help="Expires after so many days.")
@click.option(
    "--secret",
    "reference",
    metavar="REFERENCE",
    help="Take the secret that env:NAME or file:PATH names; a key that has it already is left as it is.",
)
@json_option
@with_new_ledger
def key_create(
    ledger: Ledger, name: str, admin: bool, as_json: bool, days: float | None, reference: str | None, **limits: Any
) -> None:
    """Create a key; its secret is shown this once."""
    from flyball.security.principals import create_key
    from flyball.settings import secret as secret_of

    expires_ms = int((time.time() + days * 86400) * 1000) if days else None
    given = secret_of(reference, Path.cwd()) if reference else None
    principal, secret = create_key(
        ledger, name=name, role="admin" if admin else "client", expires_ms=expires_ms, secret=given, **limits
    )
    if given is not None:
        emit({"id": principal.id, "name": principal.name}, as_json=as_json, text=pairs)
        return
    emit({"id": principal.id, "name": name, "secret": secret}, as_json=as_json, text=pairs)
    say("keep the secret: it is not stored and not shown again")


@key_command.command("list")
@json_option
@with_ledger
def key_list(ledger: Ledger, as_json: bool) -> None:
    """Keys, without their secrets."""
    from flyball.records.canonical import to_plain
    from flyball.security.principals import list_keys

    rows = [flat(to_plain(key)) for key in list_keys(ledger)]
    emit_lines(
        rows,
        as_json=as_json,
        columns=("id", "name", "role", "team", "routes", "budget_usd", "expires_ms", "revoked_ms"),
    )


@key_command.command("revoke")
@click.argument("key_id")
@json_option
@with_ledger
def key_revoke(ledger: Ledger, key_id: str, as_json: bool) -> None:
    """Revoke a key; effective within a second."""
    from flyball.security.principals import revoke_key

    revoke_key(ledger, key_id)
    emit({"id": key_id, "revoked": True}, as_json=as_json, text=pairs)


def flat(row: Any) -> dict[str, Any]:
    """A key as one flat row: its principal's fields beside its own."""
    return {**row["principal"], **{name: value for name, value in row.items() if name != "principal"}}


NO_LIMIT = "none"


def count_or_none(text: str) -> int | str:
    """A whole number, or `none` for no limit."""
    return NO_LIMIT if text == NO_LIMIT else int(text)


def amount_or_none(text: str) -> float | str:
    """A number, or `none` for no limit."""
    return NO_LIMIT if text == NO_LIMIT else float(text)


@click.group("team")
def team_command() -> None:
    """Limits and budgets that hold for all keys of a team together."""


@team_command.command(
    "set",
    epilog="\b\nExamples:\n  flyball team set support --budget-usd 50 --requests-per-minute 6000\n"
    "  flyball team set support --requests-per-minute none",
)
@click.argument("name")
@click.option("--requests-per-minute", type=count_or_none, metavar="N|none", help="Requests over it get 429.")
@click.option("--tokens-per-minute", type=count_or_none, metavar="N|none", help="Prompt and answer together.")
@click.option("--concurrency", type=count_or_none, metavar="N|none", help="Requests at once.")
@click.option(
    "--budget-usd",
    type=amount_or_none,
    metavar="USD|none",
    help="Hard, per calendar month (UTC): requests over it get 429.",
)
@json_option
@with_new_ledger
def team_set(ledger: Ledger, name: str, as_json: bool, **options: Any) -> None:
    """Create a team or change its limits; those not named stay, `none` lifts one. Effective within a second."""
    from flyball.records.canonical import to_plain
    from flyball.security.teams import set_team

    changes = {key: None if value == NO_LIMIT else value for key, value in options.items() if value is not None}
    limits = set_team(ledger, name, changes)
    emit({"name": name, **to_plain(limits)}, as_json=as_json, text=pairs)


@team_command.command("list")
@json_option
@with_ledger
def team_list(ledger: Ledger, as_json: bool) -> None:
    """Teams with limits, and how many living keys each has."""
    from flyball.records.canonical import to_plain
    from flyball.security.teams import list_teams

    teams = list_teams(ledger)
    rows = [{"name": team.name, "keys": team.keys, **to_plain(team.limits)} for team in teams]
    columns = ("name", "keys", "requests_per_minute", "tokens_per_minute", "concurrency", "budget_usd")
    emit_lines(rows, as_json=as_json, columns=columns)


@team_command.command("remove")
@click.argument("name")
@json_option
@with_ledger
def team_remove(ledger: Ledger, name: str, as_json: bool) -> None:
    """Remove a team that no living key names."""
    from flyball.security.teams import remove_team

    remove_team(ledger, name)
    emit({"name": name, "removed": True}, as_json=as_json, text=pairs)


@click.group("subject")
def subject_command() -> None:
    """Erase or export what is held about one person."""


@subject_command.command(
    "erase",
    epilog="\b\nExamples:\n  flyball subject erase C0042\n  flyball subject erase C0042 --state .flyball-gateway",
)
@click.argument("subject")
@click.option("--receipt", type=click.Path(path_type=Path), help="Write the signed receipt here too.")
@json_option
@with_project_or_state
def subject_erase(place: Project | Path, subject: str, receipt: Path | None, as_json: bool) -> None:
    """Erase a person: raw rows, dataset versions, requests, feedback; mark the models; print a signed receipt.

    With --state: what a gateway without a project recorded of the person, as gateway.subject_from finds people in its
    requests. Where nothing was found the receipt says so, and the exit code is 4; names near this one are offered.
    Where somebody was, names that differ in their spelling alone are told. Where a source cannot be read, all else is
    erased, the receipt counts it (sources_unread), and the exit code is 3. Rows that are not the person's, but have the
    name in some column, stay: the receipt says where (mentioned), and the exit code is 3, or 4 where nothing was found.
    """
    from flyball.compliance.erasers import SOURCES_UNREAD

    if isinstance(place, Path):
        from flyball.standalone.subjects import erase_recorded, near_recorded

        document = erase_recorded(place, subject)
        near = near_recorded(place, subject, found=document["found"] is not False)
    else:
        from flyball.workflows.erase import erase_subject, near_subjects

        document = erase_subject(place, subject, say=say)
        near = near_subjects(place, subject, found=document["found"] is not False)
    if receipt:
        receipt.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))
    emit(document, as_json=as_json, text=pairs)
    mentioned = document.get("mentioned") or {}
    for source, where in mentioned.items():
        say(mention_text(source, where))
    if document["found"] is False:
        say(
            f"nothing was found of {subject!r}: no row, no request, no feedback; nothing was removed\n"
            "  → check the spelling, and by which field requests name people (gateway.subject_from)"
            + (f"; near it: {', '.join(near)}" if near else "")
        )
        click.get_current_context().exit(NotFoundError.exit_code)
    if near:
        say(
            f"names that differ from {subject!r} in their spelling alone were left: {', '.join(map(repr, near))}\n"
            "  → if one of them is the same person, erase it too: flyball subject erase NAME"
        )
    if unread := document["removed"].get("sources", {}).get(SOURCES_UNREAD):
        say(
            f"the erasure is incomplete: {unread} data source(s) cannot be read, so that rows may be left there\n"
            "  → repair them (`flyball data` names the line) and run the same command again"
        )
        click.get_current_context().exit(RefusedError.exit_code)
    if mentioned:
        click.get_current_context().exit(RefusedError.exit_code)


def mention_text(source: str, where: dict[str, Any]) -> str:
    """Where a source still names an erased person, and what can be done about it."""
    lines = ", ".join(map(str, where["lines"])) + (", …" if where["rows"] > len(where["lines"]) else "")
    return (
        f"{source} names the person in {where['rows']} row(s) that are not the person's: they stay"
        f" (columns {', '.join(where['columns'])}; lines {lines})\n"
        "  → if such a column says whose the row is, set it as the source's fields.subject in flyball.yaml, otherwise"
        " edit these lines; then run the same command again"
    )


@subject_command.command("export")
@click.argument("subject")
@json_option
@with_project_or_state
def subject_export(place: Project | Path, subject: str, as_json: bool) -> None:
    """Everything held about a person, unsealed, for that person."""
    if isinstance(place, Path):
        from flyball.standalone.subjects import export_recorded

        document = export_recorded(place, subject)
    else:
        from flyball.workflows.erase import export_subject

        document = export_subject(place, subject)
    emit(document, as_json=as_json, text=lambda d: msgspec.json.format(msgspec.json.encode(d), indent=2).decode())


@subject_command.command(
    "receipt",
    epilog="\b\nExamples:\n  flyball subject receipt C0042\n  flyball subject receipt C0042 --file receipt.json",
)
@click.argument("subject")
@click.option(
    "--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Check this receipt (JSON) instead."
)
@json_option
@with_project_or_state
def subject_receipt(place: Project | Path, subject: str, file: Path | None, as_json: bool) -> None:
    """The newest receipt of a person's erasure, and whether this project's key signed it as it stands.

    Where the signature does not hold, the exit code is 5.
    """
    given = file.read_bytes() if file else None
    if isinstance(place, Path):
        from flyball.standalone.subjects import receipt_recorded

        document = receipt_recorded(place, subject, given)
    else:
        from flyball.compliance.erasure import receipt_document

        document = receipt_document(place.ledger, project_key=place.key, subject=subject, given=given)
    emit(document, as_json=as_json, text=pairs)
    if not document["signature_holds"]:
        say("the signature does not hold: it was changed, or another project's key signed it")
        click.get_current_context().exit(CorruptionError.exit_code)


@click.command("audit")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Entries shown, newest first.")
@click.option("--verify", is_flag=True, help="Check the chain of hashes from its beginning.")
@json_option
@with_ledger
def audit_command(ledger: Ledger, limit: int, verify: bool, as_json: bool) -> None:
    """Who did what: a log whose entries are chained by hash."""
    from flyball.security import audit

    if verify:
        emit({"entries": audit.verify(ledger), "intact": True}, as_json=as_json, text=pairs)
        return
    from flyball.records.canonical import to_plain

    rows = [to_plain(entry) for entry in audit.entries(ledger, limit)]
    emit_lines(rows, as_json=as_json, columns=("at_ms", "actor", "action", "subject", "details"))
