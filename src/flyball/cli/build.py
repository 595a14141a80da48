"""Commands of the build plane: run, data, train, package, compose, evaluate, gate, and the stage that DVC runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flyball.cli.output import ProgressLine, emit, json_option, pairs, say, warned, with_project
from flyball.errors import GateFailed, GateInconclusive
from flyball.records import DatasetVersion
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.data.rows import Reject

wait_option = click.option("--no-wait", is_flag=True, help="Do not wait for another build of this project.")


@click.command("run", epilog="\b\nExamples:\n  flyball run\n  flyball run --no-deploy --json")
@click.option("--no-deploy", is_flag=True, help="Stop after the gate.")
@click.option("--strategy", type=click.Choice(["blue-green", "canary", "shadow"]), help="Default: rollout.strategy.")
@wait_option
@json_option
@with_project
def run_command(project: Project, no_deploy: bool, strategy: str | None, no_wait: bool, as_json: bool) -> int:
    """Bring the whole build up to date, decide, and deploy what passed; a second run redoes nothing.

    Exit code 3: the gate failed, 6: it cannot tell.
    """
    from flyball.workflows.run import run

    result = run(project, deploy=not no_deploy, strategy=strategy, wait=not no_wait, progress=ProgressLine(), say=say)
    from flyball.cli.result_text import run_document, run_text

    emit(run_document(project, result), as_json=as_json, text=run_text)
    return verdict_code(result.decision.verdict)


def verdict_code(verdict: str) -> int:
    return {"pass": 0, "fail": GateFailed.exit_code, "inconclusive": GateInconclusive.exit_code}[verdict]


def one_stage(name: str, stage: str, title: str) -> click.Command:
    """A command that brings the build up to date as far as one stage."""

    @click.command(name, help=f"{title}\n\nRuns what this depends on too, and only what is out of date.")
    @wait_option
    @json_option
    @with_project
    def command(project: Project, no_wait: bool, as_json: bool) -> None:
        up_to(project, stage, no_wait=no_wait, as_json=as_json)

    return command


def up_to(project: Project, stage: str, *, no_wait: bool, as_json: bool) -> None:
    """Bring the build up to date as far as one stage, and print its record."""
    from flyball.cli.result_text import record_document, sides_text
    from flyball.data.dataset_warnings import read_warnings
    from flyball.data.rows import first_rejects
    from flyball.records.record_files import read_document
    from flyball.workflows.record_intake import take_record
    from flyball.workflows.run import build, read_as

    ran = build(project, stage=stage, wait=not no_wait, say=say)
    record, recorded = read_document(project.places.loop / stage / "record.json")
    take_record(project, record, recorded)
    document = {"ran": list(ran), **record_document(record)}
    if isinstance(record, DatasetVersion):
        document["sides"] = sides_text(project, record)
        document["warnings"] = read_warnings(project.places.dataset)
        document["read_as"] = read_as(project)
        first = first_rejects(project.places.dataset)
        document["first_dropped"] = {reason: place_of(reject) for reason, reject in first.items()}
    emit(document, as_json=as_json, text=stage_text)


def place_of(reject: Reject) -> str:
    """Where a dropped row stood, and what was wrong with it."""
    return f"{reject.source} line {reject.line}" + (f": {reject.detail}" if reject.detail else "")


def stage_text(document: dict[str, Any]) -> str:
    """A stage's record for people; of a dataset also how its sources were read, and what was dropped and why."""
    ran = ", ".join(document["ran"]) or "nothing: everything was up to date"
    facts: dict[str, Any] = {key: document[key] for key in ("type", "id", "sides") if key in document}
    content = document["content"]
    if "rows_in" in content:
        facts |= {f"{name} is read as": how for name, how in document.get("read_as", {}).items()}
        dropped = ", ".join(f"{count} {reason}" for reason, count in content["dropped"].items())
        facts |= {"rows read": content["rows_in"], "dropped": dropped or "none"}
        facts |= {f"first {reason}": place for reason, place in document.get("first_dropped", {}).items()}
        changed = ", ".join(f"{count} {step}" for step, count in content.get("changed", {}).items())
        facts |= {"changed": changed or "none"}
    return warned(pairs({"ran": ran, **facts}), document.get("warnings", ()))


data_command = one_stage(
    "data", "dataset", "Collect, clean, redact, deduplicate, validate, split and version the rows."
)
train_command = one_stage("train", "training", "Train on the dataset version.")
compose_command = one_stage("compose", "release", "Compose the release: all that decides an answer, one fingerprint.")


@click.command("package", epilog="\b\nExamples:\n  flyball package\n  flyball package 3f9c2a71b0de --as gguf:q4_k_m")
@click.argument("model", required=False)
@click.option("--as", "form", metavar="FORM", help="Package MODEL in this form too: gguf:q8_0, gguf:q4_k_m, gguf:f16 …")
@wait_option
@json_option
@with_project
def package_command(project: Project, model: str | None, form: str | None, no_wait: bool, as_json: bool) -> None:
    """Package the trained weights as the engine loads them, or MODEL in another form with a release of it.

    Without MODEL it runs what this depends on too, and only what is out of date.
    """
    if bool(model) != bool(form):
        raise click.UsageError("MODEL and --as belong together.")
    if not model or not form:
        up_to(project, "model", no_wait=no_wait, as_json=as_json)
        return
    from flyball.cli.project import imported_text
    from flyball.cli.result_text import record_document
    from flyball.workflows.package import package_as

    made, release = package_as(project, model, form)
    document = {"model": record_document(made), "release": record_document(release)}
    emit(document, as_json=as_json, text=imported_text)


@click.command("gate", epilog="\b\nExamples:\n  flyball gate\n  flyball gate 3f9c2a71b0de")
@click.argument("release", required=False)
@json_option
@with_project
def gate_command(project: Project, release: str | None, as_json: bool) -> int:
    """Decide whether the release that was built (or RELEASE) may ship, against the live one.

    Exit code 3: the gate failed, 6: it cannot tell.
    """
    from flyball.cli.result_text import decision_document, decision_text
    from flyball.workflows.evaluate_release import gate_named
    from flyball.workflows.gate import gate
    from flyball.workflows.record_intake import take_in

    if release:
        decision = gate_named(project, release, route=project.name, progress=ProgressLine(), say=say)
    else:
        decision = gate(project, take_in(project).report, route=project.name, progress=ProgressLine(), say=say)
    emit(decision_document(decision), as_json=as_json, text=decision_text)
    return verdict_code(decision.verdict)


@click.command("stage", hidden=True)
@click.argument("name")
@with_project
def stage_command(project: Project, name: str) -> int:
    """Run one stage as DVC does: its outputs and its record, nothing else."""
    from flyball.cli.error_messages import as_error
    from flyball.dvc.commands import leave_error
    from flyball.telemetry import configure_logging
    from flyball.workflows.stage import run_stage

    configure_logging(level="WARNING")
    say(f"{name}")
    try:
        run_stage(project, name, ProgressLine())
    except (Exception, KeyboardInterrupt) as error:  # the edge: the command that waits for this stage speaks for it
        known = as_error(error, ["stage", name])
        if not leave_error(project, name, known):
            raise known from error
        return known.exit_code
    return 0
