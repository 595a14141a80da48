"""Commands that keep a project: backup, restore, migrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.output import ProgressLine, emit, emit_lines, json_option, pairs, say, with_ledger, with_project
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.storage.ledger import Ledger


@click.command(
    "backup",
    epilog="\b\nExamples:\n  flyball backup /mnt/backups/shop\n  flyball backup s3://backups/shop --keep 14",
)
@click.argument("url", metavar="DIR|URL")
@click.option("--keep", type=int, metavar="N", help="Afterwards remove all but the newest N backups there.")
@json_option
@with_project
def backup_command(project: Project, url: str, keep: int | None, as_json: bool) -> None:
    """Back the project up while it serves: ledger, waiting requests, artefacts, reports; only what changed is stored.

    Keys are not in it: keep them apart. Erasures since are done again by `flyball restore`.
    """
    from flyball.workflows.backup import back_up

    document = back_up(project, url, keep=keep, progress=ProgressLine())
    emit(document, as_json=as_json, text=_backup_text)


@click.command("migrate", epilog="\b\nExamples:\n  flyball migrate")
@json_option
@with_ledger
def migrate_command(ledger: Ledger, as_json: bool) -> None:
    """Create the ledger's tables, or bring them up to date: before an upgrade, in one place.

    Every other command does it too, when it opens the ledger.
    """
    from flyball.storage.schema import HEAD

    emit(
        {"ledger": ledger.engine.url.render_as_string(hide_password=True), "schema": HEAD}, as_json=as_json, text=pairs
    )


@click.command(
    "restore",
    epilog="\b\nExamples:\n  flyball restore /mnt/backups/shop --into shop --key project.key\n"
    "  flyball restore s3://backups/shop --list\n"
    "  flyball restore s3://backups/shop --at 20261130T071500123Z-0a1b",
)
@click.argument("url", metavar="DIR|URL")
@click.option("--into", type=click.Path(path_type=Path), default=".", help="The folder to restore into; default: here.")
@click.option("--at", "id", metavar="BACKUP", help="Which backup; default: the newest.")
@click.option(
    "--key", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The project's key, as a file."
)
@click.option("--list", "is_list", is_flag=True, help="List the backups there; nothing is restored.")
@json_option
def restore_command(url: str, into: Path, id: str | None, key: Path | None, is_list: bool, as_json: bool) -> None:
    """Restore a project into a folder and a database that hold none; whoever was erased since is erased again."""
    if is_list:
        from flyball.workflows.backup import backups_at

        emit_lines(backups_at(url), as_json=as_json, columns=("id", "project", "at_ms", "requests", "flyball"))
        return
    from flyball.workflows.restore import restore

    into.mkdir(parents=True, exist_ok=True)
    document = restore(url, into, id=id, key=key, say=say, progress=ProgressLine())
    emit(document, as_json=as_json, text=_restored_text)


def _backup_text(document: dict[str, Any]) -> str:
    shown = {name: value for name, value in document.items() if name != "left_out"}
    shown["keep apart"] = ", ".join(document["left_out"]) or "the project's key"
    return pairs(shown)


def _restored_text(document: dict[str, Any]) -> str:
    shown = {name: value for name, value in document.items() if name != "kept"}
    if document["kept"]:
        shown["left as they are"] = ", ".join(document["kept"])
    return pairs(shown)
