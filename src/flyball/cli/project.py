"""Commands to begin with: init, import, doctor, schema, completion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from flyball.cli.output import ProgressLine, emit, emit_lines, json_option, pairs, say, with_project
from flyball.records.identity import short
from flyball.wiring import Project

model_name_option = click.option("--model-name", metavar="NAME", help="The model's name there; with a URL.")
api_key_option = click.option("--api-key", metavar="REF", help="A reference such as env:OPENAI_API_KEY; with a URL.")


@click.command(
    "init",
    epilog="\b\nExamples:\n  flyball init shop\n  flyball init --from tickets.jsonl triage\n  flyball init --here\n"
    "  flyball init --from chats.jsonl --model model.gguf\n"
    "  flyball init --from chats.jsonl --model http://127.0.0.1:8000/v1 --model-name my-llama",
)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--here", is_flag=True, help="Add Flyball to this folder, whatever is in it; nothing is overwritten.")
@click.option("--from", "source", type=click.Path(path_type=Path), help="Guess task, fields and splits from this file.")
@click.option("--text", metavar="COLUMN", help="What is asked; with --from; default: guessed from names and contents.")
@click.option("--label", metavar="COLUMN", help="What is expected; with --from; default: guessed likewise.")
@click.option(
    "--model",
    metavar="PATH|URL",
    help="A model that exists: a Hugging Face folder, a GGUF file, or the URL of an OpenAI-compatible server. Nothing "
    "is trained; the rows are the cases that it has to pass.",
)
@model_name_option
@api_key_option
@json_option
def init_command(
    folder: Path | None,
    here: bool,
    source: Path | None,
    text: str | None,
    label: str | None,
    model: str | None,
    model_name: str | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """Scaffold a project: with sample data, from a file of yours, or in an existing repository."""
    from flyball.workflows.init import ModelChoice, init

    if model is None and (model_name or api_key):
        raise click.UsageError("--model-name and --api-key belong to --model URL")
    if source is None and (text or label):
        raise click.UsageError("--text and --label belong to --from FILE")
    choice = ModelChoice(source=model, model_name=model_name, api_key=api_key) if model else None
    target = folder or (Path.cwd() if here or source is None else Path.cwd() / source.name.split(".")[0])
    made = init(target, here=here, source=source, model=choice, text=text, label=label)
    document = {"project": str(made.root), "created": list(made.created), "notes": list(made.notes)}
    emit(document, as_json=as_json, text=init_text)


def init_text(document: dict[str, Any]) -> str:
    created = "\n".join(f"  + {name}" for name in document["created"])
    notes = "".join(f"\n  {note}" for note in document["notes"])
    return f"{document['project']}\n{created}{notes}\nNext: cd {document['project']} && flyball run && flyball up"


@click.command(
    "import",
    epilog="\b\nExamples:\n  flyball import models/my-llama\n  flyball import model.gguf\n"
    "  flyball import http://127.0.0.1:8000/v1 --model-name my-llama\n  flyball import adapter.gguf",
)
@click.argument("source", metavar="PATH|URL")
@model_name_option
@api_key_option
@click.option("--base", metavar="MODEL", help="Of an adapter: the model it was trained on, by its name or its path.")
@json_option
@with_project
def import__command(
    project: Project, source: str, model_name: str | None, api_key: str | None, base: str | None, as_json: bool
) -> None:
    """Take in a model that exists, with a release of it: a Hugging Face folder, a GGUF file, or a server's URL.

    Or a LoRA adapter, as a GGUF file or a PEFT folder (converted for llama.cpp): name it as release.adapter.
    """
    from flyball.cli.result_text import record_document
    from flyball.registry.adapters import is_adapter
    from flyball.workflows.evaluate_release import rows_of
    from flyball.workflows.import_model import take_adapter, take_model

    if is_adapter(Path(source)):
        taken = {"adapter": record_document(take_adapter(project, Path(source), base=base))}
        emit(taken, as_json=as_json, text=lambda d: pairs({"adapter": d["adapter"]["id"]}))
        return

    def labels() -> Sequence[str]:
        return project.settings.data.validate.labels or rows_of(project, wait=True, say=say).labels

    model, release = take_model(
        project, source, labels=labels, model_name=model_name, api_key=api_key, progress=ProgressLine()
    )
    document = {"model": record_document(model), "release": record_document(release)}
    emit(document, as_json=as_json, text=imported_text)


def imported_text(document: dict[str, Any]) -> str:
    model, release = document["model"], short(document["release"]["id"])
    facts = {
        "model": f"{model['id']}  {', '.join(model['content']['formats'])}",
        "release": document["release"]["id"],
        "next": f"flyball evaluate {release} && flyball gate {release} && flyball deploy {release}",
    }
    return pairs(facts)


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> int:
    """Check this machine and, inside a project, its ledger, key and records."""
    from flyball.workflows.doctor import check

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
