"""Commands of the serve plane: up, gateway, and the processes that `up` starts."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from flyball.cli.output import json_option, say, with_project
from flyball.wiring import Project

PORT = click.IntRange(0, 65535)


@click.command("up", epilog="\b\nExamples:\n  flyball up\n  flyball up --port 9000 --console-port 9001")
@click.option("--host", help="Default: gateway.host. Other than loopback needs an API key first.")
@click.option("--port", type=PORT, help="Default: gateway.port; 0: any free one.")
@click.option("--console-port", type=PORT, help="Default: console.port; 0: any free one.")
@json_option
@with_project
def up_command(project: Project, host: str | None, port: int | None, console_port: int | None, as_json: bool) -> None:
    """Serve: gateway, console, engines and control, until ctrl-c, which drains.

    Where there is nothing to serve it says why, and serves what is deployed later.
    """
    from flyball.workflows.up import Supervisor, nothing_to_serve, up

    def ready(supervisor: Supervisor) -> None:
        gateway = f"http://{supervisor.host}:{supervisor.port}"
        console = f"http://127.0.0.1:{supervisor.console_port}"
        missing = nothing_to_serve(project)
        if as_json:
            document = {"gateway": gateway, "console": console, "missing": str(missing) if missing else None}
            click.echo(msgspec.json.encode(document).decode())
        say(f"gateway  {gateway}/v1\nconsole  {console}\nctrl-c drains and stops")
        if missing is not None and missing.soon:
            say(f"{missing.what}; it answers in a moment")
        elif missing is not None:
            said = f"{missing.what} ({missing.detail})" if missing.detail else missing.what
            say(f"{click.style('nothing is served yet:', fg='yellow', bold=True)} {said}\n  → {missing.cure}")

    up(project, host=host, port=port, console_port=console_port, say=say, ready=ready)


@click.command(
    "gateway",
    epilog="\b\nExamples:\n  flyball gateway --upstream http://127.0.0.1:8000\n"
    "  flyball gateway --upstream http://one:8000 --upstream http://two:8000\n"
    "  flyball gateway --config gateway.yaml",
)
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    help="Base URL of an OpenAI-compatible server; more of them, with the same models, answer in this order what those "
    "before could not.",
)
@click.option(
    "--upstream-key",
    "upstream_keys",
    multiple=True,
    help="A reference to the key of the upstream at the same place, such as env:OPENAI_API_KEY.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="YAML with `upstreams:` (url, key, models, slots), `gateway:` and `cost:`; see docs/how-to/gateway.md.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path(".flyball-gateway"),
    show_default=True,
    help="Folder of its ledger, keys and segments.",
)
@click.option("--host", default=None, help="Default: 127.0.0.1.")
@click.option("--port", type=PORT, default=None, help="Default: 8080; 0: any free one.")
@json_option
def gateway_command(
    upstreams: tuple[str, ...],
    upstream_keys: tuple[str, ...],
    config_file: Path | None,
    state: Path,
    host: str | None,
    port: int | None,
    as_json: bool,
) -> None:
    """The gateway alone, in front of any OpenAI-compatible server: keys, limits, recording, feedback, metrics."""
    from flyball.standalone.gateway import front

    def ready(url: str, routes: list[str]) -> None:
        if as_json:
            click.echo(msgspec.json.encode({"gateway": url}).decode())
        say("\n".join([f"gateway  {url}/v1", *(f"route    {line}" for line in routes), "ctrl-c drains and stops"]))

    front(
        upstreams,
        upstream_keys=upstream_keys,
        config_file=config_file,
        state=state,
        host=host,
        port=port,
        ready=ready,
    )


@click.command("process", hidden=True)
@click.argument("name", type=click.Choice(["gateway", "ingester", "control", "console"]))
@click.option("--worker", type=int, default=0, help="Number of a gateway worker.")
@click.option("--host", default=None, help="Address to listen on.")
@click.option("--port", type=int, default=None, help="Port to listen on.")
@with_project
def process_command(project: Project, name: str, worker: int, host: str | None, port: int | None) -> None:
    """One process of `flyball up`; ends when its supervisor does."""
    from flyball.workflows import child_processes

    child_processes.start(project, name, worker=worker, host=host, port=port)
