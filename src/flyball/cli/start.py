"""Commands to begin with: init, import, doctor, schema, completion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from flyball.cli.output import emit, emit_lines, json_option, pairs, with_project
from flyball.wiring import Project


@click.command(
    "init",
    epilog="\b\nExamples:\n  flyball init shop\n  flyball init --from tickets.jsonl triage\n  flyball init --here",
)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--here", is_flag=True, help="Add Flyball to this folder, whatever is in it; nothing is overwritten.")
@click.option("--from", "source", type=click.Path(path_type=Path), help="Guess task, fields and splits from this file.")
@json_option
def init_command(folder: Path | None, here: bool, source: Path | None, as_json: bool) -> None:
    """Scaffold a project: with sample data, from a file of yours, or in an existing repository."""
    from flyball.workflows.starting import init

    target = folder or (Path.cwd() if here or source is None else Path.cwd() / source.name.split(".")[0])
    made = init(target, here=here, source=source)
    document = {"project": str(made.root), "created": list(made.created), "notes": list(made.notes)}
    emit(document, as_json=as_json, text=init_text)


def init_text(document: dict[str, Any]) -> str:
    created = "\n".join(f"  + {name}" for name in document["created"])
    notes = "".join(f"\n  {note}" for note in document["notes"])
    return f"{document['project']}\n{created}{notes}\nNext: cd {document['project']} && flyball run && flyball up"


@click.command("import", epilog="\b\nExamples:\n  flyball import models/my-llama\n  flyball import adapter.gguf")
@click.argument("folder", type=click.Path(path_type=Path))
@json_option
@with_project
def import__command(project: Project, folder: Path, as_json: bool) -> None:
    """Take in a Hugging Face model folder as a model version that can be released, or a LoRA adapter.

    An adapter is a GGUF file (llama.cpp) or a PEFT folder (vLLM); name it as release.adapter.
    """
    from flyball.cli.wording import record_document
    from flyball.registry.adapters import is_adapter
    from flyball.workflows.importing import take_adapter, take_model

    if is_adapter(folder):
        taken = {"adapter": record_document(take_adapter(project, folder))}
        emit(taken, as_json=as_json, text=lambda d: pairs({"adapter": d["adapter"]["id"]}))
        return
    model, release = take_model(project, folder)
    document = {"model": record_document(model), "release": record_document(release)}
    emit(document, as_json=as_json, text=lambda d: pairs({"model": d["model"]["id"], "release": d["release"]["id"]}))


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> int:
    """Check this machine and, inside a project, its ledger, key and records."""
    from flyball.workflows.checking import check

    rows = check(Path.cwd())
    emit_lines(rows, as_json=as_json, columns=("check", "ok", "detail", "cure"))
    return 0 if all(row["ok"] for row in rows) else 5


@click.command("schema")
@click.option("--json", "as_json", is_flag=True, help="Already JSON; accepted on every command.")
def schema_command(as_json: bool) -> None:
    """JSON Schema of flyball.yaml, for editors."""
    import msgspec

    from flyball.settings import json_schema

    schema = msgspec.json.encode(json_schema())
    click.echo((schema if as_json else msgspec.json.format(schema, indent=2)).decode())


@click.command("completion", epilog='\b\nExample:\n  eval "$(flyball completion bash)"')
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def completion_command(shell: str, as_json: bool) -> None:
    """Print the script that completes flyball's commands in your shell."""
    from click.shell_completion import get_completion_class

    from flyball.cli.main import cli

    found = get_completion_class(shell)
    assert found is not None
    source = found(cli, {}, "flyball", "_FLYBALL_COMPLETE").source()
    emit({"shell": shell, "script": source}, as_json=as_json, text=lambda d: str(d["script"]))
