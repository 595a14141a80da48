"""Commands of releases: deploy, rollback, deployments."""

from __future__ import annotations

import click

from flyball.cli.output import emit, emit_lines, json_option, pairs, with_project
from flyball.wiring import Project


@click.command("deploy", epilog="\b\nExample:\n  flyball deploy 3f9c2a71b0de --strategy canary --reason 'new intents'")
@click.argument("release")
@click.option("--route", help="Default: the project's own.")
@click.option("--strategy", type=click.Choice(["blue-green", "canary", "shadow", "ab"]), default="blue-green")
@click.option("--reason", default="", help="Kept in the deployment's history.")
@json_option
@with_project
def deploy_command(
    project: Project, release: str, route: str | None, strategy: str, reason: str, as_json: bool
) -> None:
    """Put a release on a route; refused without a passing gate decision for exactly this release."""
    from flyball.cli.wording import deployment_document
    from flyball.workflows.releasing import deploy

    made = deploy(project, release, route=route, strategy=strategy, reason=reason)
    emit(
        deployment_document(project, made),
        as_json=as_json,
        text=lambda d: pairs({"deployment": d["id"], "state": d["state"], "next": "flyball status"}),
    )


@click.command("rollback")
@click.option("--route", help="Default: the project's own.")
@click.option("--reason", default="asked for", help="Kept in the deployment's history.")
@json_option
@with_project
def rollback_command(project: Project, route: str | None, reason: str, as_json: bool) -> None:
    """Go back to the release before: one pointer, effective within a second, no request failed by it."""
    from flyball.workflows.releasing import back

    emit(back(project, route=route, reason=reason), as_json=as_json, text=pairs)


def decided_by_a_person(name: str, title: str) -> click.Command:
    """A command that decides a paused deployment."""

    @click.command(name, help=title)
    @click.argument("deployment")
    @click.option("--reason", required=True, help="Kept as the evidence of this step.")
    @json_option
    @with_project
    def command(project: Project, deployment: str, reason: str, as_json: bool) -> None:
        from flyball.workflows.releasing import decide_paused

        emit(decide_paused(project, deployment, verb=name, reason=reason), as_json=as_json, text=pairs)

    return command


resume_command = decided_by_a_person("resume", "Let a paused deployment go on from its step.")
promote_command = decided_by_a_person("promote", "Make a paused deployment live by a person's decision.")


@click.command("deployments")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@json_option
@with_project
def deployments_command(project: Project, limit: int, as_json: bool) -> None:
    """Who deployed what, when, why and on which evidence; newest first."""
    from flyball.workflows.releasing import deployment_rows

    rows = deployment_rows(project, limit=limit)
    emit_lines(rows, as_json=as_json, columns=("id", "route", "release", "strategy", "state", "requested_by", "reason"))
