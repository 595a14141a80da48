"""Commands of the registry: model versions, cards, signatures, removal of what is unused, export."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from flyball.cli.output import emit, emit_lines, json_option, pairs, say, with_project
from flyball.wiring import Project

_SCORES = ("exact_match", "chrf", "exact_fields", "answered")


@click.group(
    "models",
    invoke_without_command=True,
    epilog="\b\nExamples:\n  flyball models\n  flyball models card 3f2a9c17e04b --out MODEL_CARD.md",
)
@click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Model versions shown, newest first."
)
@json_option
@with_project
def models_command(project: Project, limit: int, as_json: bool) -> None:
    """Model versions with their releases, how they scored, and what the gate said; newest first.

    What `dvc exp run` built is among them, with the experiment's name.
    """
    from flyball.workflows.experiment_intake import take_in_experiments
    from flyball.workflows.models import model_rows

    take_in_experiments(project, say)
    rows = model_rows(project, limit=limit)
    shown = [name for name in _SCORES if any(row.get(name) is not None for row in rows)] or list(_SCORES[:1])
    tried = ["experiment"] if any(row["experiment"] for row in rows) else []
    columns = ("model", "release", *tried, *shown, "gate", "live", "agreement", "marks")
    emit_lines(rows, as_json=as_json, columns=columns)


@models_command.command("card")
@click.argument("release")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the card here instead.")
@json_option
@with_project
def models_card(project: Project, release: str, out: Path | None, as_json: bool) -> None:
    """One release on a page of Markdown: data, training, measures, the gate's verdict, known limits."""
    from flyball.compliance.model_card import model_card

    card = model_card(project.ledger, release)
    if out is not None:
        out.write_text(card, encoding="utf-8")
    elif as_json:
        emit({"release": release, "card": card}, as_json=True, text=pairs)
    else:
        click.echo(card, nl=False)


@models_command.command("show", epilog="\b\nExample:\n  flyball models show 3f9c2a71b0de")
@click.argument("model")
@json_option
@with_project
def models_show(project: Project, model: str, as_json: bool) -> None:
    """One model version: lineage, files, releases, scores, the gate's verdicts, aliases, signature."""
    from flyball.workflows.aliases import model_facts

    emit(model_facts(project, model), as_json=as_json, text=facts_text)


def facts_text(document: dict[str, Any]) -> str:
    """A model for people: files by size, scores to four digits."""
    files = ", ".join(f"{one['path']} ({one['size_bytes']:,} bytes)" for one in document["files"])
    scores = ", ".join(f"{name} {value:.4g}" for name, value in document["scores"].items())
    lists = {key: ", ".join(document[key]) or "none" for key in ("aliases", "formats", "releases")}
    gates = ", ".join(f"{name[:12]} {verdict}" for name, verdict in document["gates"].items())
    noted = ", ".join(f"{key} {value}" for key, value in document["recorded"].items())
    words = {"files": files or "none here", "scores": scores or "not measured", "gates": gates or "none"}
    return pairs({**document, **lists, **words, "recorded": noted or "nothing"})


@models_command.command(
    "alias",
    epilog="\b\nExamples:\n  flyball models alias\n  flyball models alias champion 3f9c2a71b0de\n"
    "  flyball models alias champion --remove",
)
@click.argument("alias", required=False)
@click.argument("model", required=False)
@click.option("--remove", is_flag=True, help="Remove the alias; its model stays.")
@json_option
@with_project
def models_alias(project: Project, alias: str | None, model: str | None, remove: bool, as_json: bool) -> None:
    """Names for models: list them, point one at a MODEL, or remove one. They hold on this machine."""
    from flyball.workflows.aliases import aliases_of, set_alias

    if alias and bool(model) == remove:
        raise click.UsageError("Give a MODEL, or --remove.")
    found = set_alias(project, alias, model) if alias else aliases_of(project)
    rows = [{"alias": name, "model": target} for name, target in sorted(found.items())]
    emit_lines(rows, as_json=as_json, columns=("alias", "model"))


@models_command.command("sign", epilog="\b\nExample:\n  flyball models sign 3f9c2a71b0de --key sign.pem")
@click.argument("model")
@click.option("--key", required=True, type=click.Path(path_type=Path, exists=True), help="Elliptic private key, PEM.")
@json_option
@with_project
def models_sign(project: Project, model: str, key: Path, as_json: bool) -> None:
    """Sign a model: every file that an engine may load, by its hash (OpenSSF Model Signing)."""
    from flyball.storage.signatures import sign
    from flyball.workflows.aliases import model_named

    stored, record = model_named(project, model)
    project.artifacts.verify(stored.id, record.files)
    signature = sign(project.artifacts, stored.id, key)
    emit({"model": stored.id, "signature": str(signature)}, as_json=as_json, text=pairs)


@models_command.command("verify", epilog="\b\nExample:\n  flyball models verify 3f9c2a71b0de --key sign.pub")
@click.argument("model")
@click.option("--key", "keys", multiple=True, type=click.Path(path_type=Path), help="Default: security.signers.")
@json_option
@with_project
def models_verify(project: Project, model: str, keys: tuple[Path, ...], as_json: bool) -> None:
    """Check a model against its signature; exit code 3 where none of the keys made it, 5 where a byte changed."""
    from flyball.storage.signatures import check
    from flyball.workflows.aliases import model_named

    stored, _ = model_named(project, model)
    asked = keys or project.signers
    if not asked:
        raise click.UsageError("Give --key, or set security.signers.")
    signer = check(project.artifacts, stored.id, asked)
    emit({"model": stored.id, "signed_by": str(signer)}, as_json=as_json, text=pairs)


@models_command.command("gc", epilog="\b\nExamples:\n  flyball models gc\n  flyball models gc --remove")
@click.option("--remove", is_flag=True, help="Remove them; without it they are only listed.")
@click.option("--no-wait", is_flag=True, help="Do not wait for a build of this project.")
@json_option
@with_project
def models_gc(project: Project, remove: bool, no_wait: bool, as_json: bool) -> None:
    """Stored models that no release, build, setting or engine reaches, and the bytes that they take.

    What is younger than an hour is left alone: an import may be under way.
    """
    from flyball.workflows.unused_models import unused_models

    found = unused_models(project, remove=remove, wait=not no_wait, say=say)
    emit_lines([asdict(one) for one in found], as_json=as_json, columns=("model", "size_bytes", "removed"))


@models_command.command("unload", epilog="\b\nExample:\n  flyball models unload 3f9c2a71b0de")
@click.argument("release")
@json_option
@with_project
def models_unload(project: Project, release: str, as_json: bool) -> None:
    """Have a classic model server let go of a release's model; exit code 3 while a route may still need it."""
    from flyball.workflows.unload_model import unload_model

    emit(unload_model(project, release), as_json=as_json, text=pairs)


@click.command("export", epilog="\b\nExample:\n  flyball export 3f9c2a71b0de --to out --as hf")
@click.argument("model")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option("--as", "layout", required=True, type=click.Choice(["hf", "gguf", "adapter", "mlflow"]), help="Layout.")
@json_option
@with_project
def export_command(project: Project, model: str, to: Path, layout: str, as_json: bool) -> None:
    """Write a model or adapter into a folder that transformers, llama.cpp, PEFT or MLflow loads."""
    from flyball.workflows.export_model import export_model

    files = export_model(project, model, to=to, layout=layout)
    emit({"folder": str(to), "files": files}, as_json=as_json, text=exported_text)


def exported_text(document: dict[str, Any]) -> str:
    return pairs({"folder": document["folder"], "files": ", ".join(document["files"])})
