"""Commands of releases: deploy (and its history), rollback, resume, promote."""

from __future__ import annotations

import click

from flyball.cli.output import emit, emit_lines, json_option, pairs, with_project
from flyball.wiring import Project

_DEFAULT = "RELEASE"


class _Deploy(click.Group):
    """`flyball deploy RELEASE` deploys; a word that is a command of its own is that command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or not (args[0] in self.commands or args[0] in ctx.help_option_names):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] == _DEFAULT:
            return None, release_command, args[1:]
        return super().resolve_command(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "RELEASE [OPTIONS]")
        formatter.write_usage(ctx.command_path, "history [DEPLOYMENT] [OPTIONS]", prefix="       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        release_command.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


EXAMPLES = """\b
Examples:
  flyball deploy 3f9c2a71b0de                                          as rollout.strategy says
  flyball deploy 3f9c2a71b0de --strategy canary --steps 0.05,0.25,0.5
  flyball deploy 3f9c2a71b0de --strategy shadow --then canary          copies first, then users
  flyball deploy 3f9c2a71b0de --strategy ab                            until `flyball promote` or `rollback`
  flyball deploy history
"""


@click.group("deploy", cls=_Deploy, epilog=EXAMPLES)
def deploy_command() -> None:
    """Put a release on a route; refused without a passing gate decision for exactly this release."""


def _shares(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[float, ...]:
    """Shares with commas between them."""
    try:
        return tuple(float(share) for share in value.split(",")) if value else ()
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no list of shares such as 0.05,0.25,0.5") from error


@click.command("release")
@click.argument("release")
@click.option("--route", help="Default: the project's own.")
@click.option(
    "--strategy",
    type=click.Choice(["blue-green", "canary", "shadow", "ab"]),
    help="Default: rollout.strategy of flyball.yaml.",
)
@click.option(
    "--steps", metavar="SHARES", callback=_shares, help="Growing shares of the units that it answers: 0.05,0.25,0.5."
)
@click.option("--then", type=click.Choice(["canary", "ab"]), help="What follows a shadow whose copies show no harm.")
@click.option("--mirror", type=click.FloatRange(0, 1, min_open=True), help="Share of the units a shadow gets in copy.")
@click.option(
    "--allow-downtime", "downtime", is_flag=True, help="End what is live first, where memory does not hold both."
)
@click.option("--reason", default="", help="Kept in the deployment's history.")
@json_option
@with_project
def release_command(
    project: Project,
    release: str,
    route: str | None,
    strategy: str | None,
    steps: tuple[float, ...],
    then: str | None,
    mirror: float | None,
    downtime: bool,
    reason: str,
    as_json: bool,
) -> None:
    """Put a release on a route; refused without a passing gate decision for exactly this release."""
    from flyball.cli.result_text import deployment_document
    from flyball.workflows.deploy import deploy

    made = deploy(
        project,
        release,
        route=route,
        strategy=strategy,
        shares=steps,
        then=then,
        mirrored=mirror,
        downtime=downtime,
        reason=reason,
    )
    emit(
        deployment_document(project, made),
        as_json=as_json,
        text=lambda d: pairs({"deployment": d["id"], "state": d["state"], "next": "flyball deploy history"}),
    )


@deploy_command.command("history")
@click.argument("deployment", required=False)
@click.option("--route", help="Default: all of them.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Deployments shown, newest first.")
@json_option
@with_project
def history_command(project: Project, deployment: str | None, route: str | None, limit: int, as_json: bool) -> None:
    """Who deployed what, when, why and on which evidence; newest first. One DEPLOYMENT: with all its figures."""
    from flyball.cli.history import history_text
    from flyball.workflows.deploy import deployment_history

    rows = deployment_history(project, deployment, route=route, limit=limit)
    if as_json:
        emit_lines(rows, as_json=True, columns=())
    else:
        click.echo(history_text(rows, whole=deployment is not None))


@click.command("rollback")
@click.option("--route", help="Default: the project's own.")
@click.option("--reason", default="asked for", help="Kept in the deployment's history.")
@json_option
@with_project
def rollback_command(project: Project, route: str | None, reason: str, as_json: bool) -> None:
    """Go back to the release before: one pointer, effective within a second, no request failed by it."""
    from flyball.workflows.deploy import back

    emit(back(project, route=route, reason=reason), as_json=as_json, text=pairs)


def decided_by_a_person(name: str, title: str) -> click.Command:
    """A command that decides the deployment under way."""

    @click.command(name, help=title)
    @click.argument("deployment", required=False)
    @click.option("--route", help="Whose deployment under way is meant; default: the project's own.")
    @click.option("--reason", required=True, help="Kept as the evidence of this step.")
    @json_option
    @with_project
    def command(project: Project, deployment: str | None, route: str | None, reason: str, as_json: bool) -> None:
        from flyball.workflows.deploy import decide

        emit(decide(project, deployment, verb=name, route=route, reason=reason), as_json=as_json, text=pairs)

    return command


resume_command = decided_by_a_person("resume", "Let a paused deployment go on from its step.")
promote_command = decided_by_a_person("promote", "Make the deployment under way live by a person's decision.")
