"""Commands that set up other people's monitoring."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from flyball.cli.output import emit_lines, json_option, say, with_project
from flyball.wiring import Project


@click.group("monitoring", epilog="\b\nExample:\n  flyball monitoring render deploy/monitoring")
def monitoring_command() -> None:
    """Rules, alerts and dashboards for Prometheus, Alertmanager and Grafana; notices."""


@monitoring_command.command(
    "render",
    epilog="\b\nExamples:\n  flyball monitoring render deploy/monitoring\n"
    "  flyball monitoring render deploy/monitoring --gateway one:8080 --gateway two:8080 --key-file /run/secrets/key",
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--gateway", "gateways", multiple=True, help="HOST:PORT of a gateway; default: that of flyball.yaml.")
@click.option("--key-file", help="File with an API key, where /metrics asks for one (gateways beyond loopback).")
@click.option("--alertmanager", default="127.0.0.1:9093", show_default=True, help="HOST:PORT of Alertmanager.")
@click.option("--prometheus", default="http://127.0.0.1:9090", show_default=True, help="URL that Grafana asks.")
@click.option("--webhook", default="http://127.0.0.1:9099", show_default=True, help="URL that alerts are sent to.")
@click.option("--console", help="URL of the console that dashboards link to; default: that of flyball.yaml.")
@click.option(
    "--runbook", default="docs/how-to/incidents.md", show_default=True, help="Page that alerts link to, by their names."
)
@json_option
@with_project
def render_command(
    project: Project,
    folder: Path,
    gateways: tuple[str, ...],
    key_file: str | None,
    alertmanager: str,
    prometheus: str,
    webhook: str,
    console: str | None,
    runbook: str,
    as_json: bool,
) -> None:
    """Write scrape configuration, recording and alert rules with their tests, and dashboards into FOLDER."""
    from flyball.workflows.monitoring import Addresses, render

    settings = project.settings
    addresses = Addresses(
        gateways=gateways or (f"{settings.gateway.host}:{settings.gateway.port}",),
        console=console or f"http://127.0.0.1:{settings.console.port}",
        prometheus=prometheus,
        alertmanager=alertmanager,
        webhook=webhook,
        runbook=runbook,
        key_file=key_file,
    )
    written = render(settings.objectives, addresses, folder)
    if as_json:
        click.echo(msgspec.json.encode([str(path) for path in written]).decode())
        return
    say("\n".join(str(path) for path in written))
    say(f"check: promtool test rules {folder}/prometheus/tests/*.yml")


@monitoring_command.command("notices", epilog="\b\nExample:\n  flyball monitoring notices")
@json_option
@with_project
def notices_command(project: Project, as_json: bool) -> int:
    """Send a notice to every channel of `notices`, to see that it arrives; exit code 5 where one was not taken."""
    from flyball.workflows.notices import try_channels

    rows = try_channels(project)
    emit_lines(rows, as_json=as_json, columns=("channel", "kind", "sent", "problem"))
    return 0 if all(row["sent"] for row in rows) else 5
