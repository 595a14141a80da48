"""Commands of access, privacy and audit: key, subject, audit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from flyball.cli.output import emit, emit_lines, json_option, pairs, say, with_ledger, with_project
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.storage.ledger import Ledger


@click.group("key")
def key_command() -> None:
    """Create, list and revoke API keys."""


@key_command.command(
    "create",
    epilog="\b\nExamples:\n  flyball key create shop-web --budget-usd 5 --requests-per-minute 600\n"
    "  flyball key create ops --admin --state .flyball-gateway",
)
@click.argument("name")
@click.option("--admin", is_flag=True, help="May force variants and give feedback on any request.")
@click.option("--team")
@click.option("--route", "routes", multiple=True, help="Only these routes; default: all.")
@click.option("--requests-per-minute", type=int)
@click.option("--tokens-per-minute", type=int)
@click.option("--concurrency", type=int)
@click.option("--budget-usd", type=float, help="Hard: requests over it get 429.")
@click.option("--days", type=click.FloatRange(0, min_open=True), help="Expires after so many days.")
@json_option
@with_ledger
def key_create(ledger: Ledger, name: str, admin: bool, as_json: bool, days: float | None, **limits: Any) -> None:
    """Create a key; its secret is shown this once."""
    from flyball.security import audit
    from flyball.security.principals import create_key

    expires_ms = int((time.time() + days * 86400) * 1000) if days else None
    principal, secret = create_key(
        ledger, name=name, role="admin" if admin else "client", expires_ms=expires_ms, **limits
    )
    audit.record(ledger, actor="local", action="key.create", subject=principal.id, details={"name": name})
    emit({"id": principal.id, "name": name, "secret": secret}, as_json=as_json, text=pairs)
    say("keep the secret: it is not stored and not shown again")


@key_command.command("list")
@json_option
@with_ledger
def key_list(ledger: Ledger, as_json: bool) -> None:
    """Keys, without their secrets."""
    from flyball.records.canonical import to_plain
    from flyball.security.principals import list_keys

    rows = [to_plain(key) for key in list_keys(ledger)]
    emit_lines(rows, as_json=as_json, columns=("id", "name", "role", "team", "routes", "budget_usd", "revoked_ms"))


@key_command.command("revoke")
@click.argument("key_id")
@json_option
@with_ledger
def key_revoke(ledger: Ledger, key_id: str, as_json: bool) -> None:
    """Revoke a key; effective within a second."""
    from flyball.security import audit
    from flyball.security.principals import revoke_key

    revoke_key(ledger, key_id)
    audit.record(ledger, actor="local", action="key.revoke", subject=key_id, details={})
    emit({"id": key_id, "revoked": True}, as_json=as_json, text=pairs)


@click.group("subject")
def subject_command() -> None:
    """Erase or export what is held about one person."""


@subject_command.command("erase", epilog="\b\nExample:\n  flyball subject erase C0042")
@click.argument("subject")
@click.option("--receipt", type=click.Path(path_type=Path), help="Write the signed receipt here too.")
@json_option
@with_project
def subject_erase(project: Project, subject: str, receipt: Path | None, as_json: bool) -> None:
    """Erase a person: raw rows, dataset versions, requests, feedback; mark the models; print a signed receipt."""
    from flyball.workflows.erasing import erase_subject

    document = erase_subject(project, subject, say=say)
    if receipt:
        receipt.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))
    emit(document, as_json=as_json, text=pairs)


@subject_command.command("export")
@click.argument("subject")
@json_option
@with_project
def subject_export(project: Project, subject: str, as_json: bool) -> None:
    """Everything held about a person, unsealed, for that person."""
    from flyball.workflows.erasing import export_subject

    document = export_subject(project, subject)
    emit(document, as_json=as_json, text=lambda d: msgspec.json.format(msgspec.json.encode(d), indent=2).decode())


@click.command("audit")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--verify", is_flag=True, help="Check the chain of hashes from its beginning.")
@json_option
@with_project
def audit_command(project: Project, limit: int, verify: bool, as_json: bool) -> None:
    """Who did what: a log whose entries are chained by hash."""
    from flyball.security import audit

    if verify:
        emit({"entries": audit.verify(project.ledger), "intact": True}, as_json=as_json, text=pairs)
        return
    from flyball.records.canonical import to_plain

    rows = [to_plain(entry) for entry in audit.entries(project.ledger, limit)]
    emit_lines(rows, as_json=as_json, columns=("at_ms", "actor", "action", "subject", "details"))
