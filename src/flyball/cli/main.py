"""The entry point: finds the command, runs it, and turns every error into one message and an exit code.

Every command ends with one of EXIT_CODES.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence

import click
import msgspec

from flyball import __version__
from flyball.cli.error_messages import as_error
from flyball.errors import FlyballError, nearest

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("project", "Scaffold a project, in a new folder or an existing repository."),
    "run": ("build", "The whole build and, if the gate passes, the deployment."),
    "data": ("build", "Collect, clean, redact, deduplicate, validate, split, version."),
    "train": ("build", "Train on the dataset version."),
    "search": ("search", "Look for a better recipe: trials within a budget, ranked by validation rows."),
    "optimise": ("optimise", "Compare smaller forms of a model: quality, latency, memory, size, cost."),
    "package": ("build", "Package the trained weights for serving."),
    "compose": ("build", "Compose the release: model, prompts, sampling, constraint, engine."),
    "evaluate": ("evaluate", "Measure the release in its engine, or any OpenAI-compatible URL."),
    "compare": ("compare", "Evaluations side by side: paired differences, and the cases that changed."),
    "suite": ("suite", "list: families of suites; show: one suite as it is read."),
    "classifier": ("classifier", "train, score, show: small text classifiers of the project."),
    "load": ("load", "Load any OpenAI-compatible URL by plan: latencies, goodput, saturation."),
    "gate": ("build", "Decide whether the release may ship."),
    "up": ("serve", "Serve: gateway, console, engines, control; ctrl-c drains."),
    "gateway": ("serve", "The gateway alone, in front of any OpenAI-compatible server."),
    "deploy": ("release", "Put a release on a route; history: who deployed what, when, why, on which evidence."),
    "release": ("compare", "diff: the fields in which two releases differ."),
    "rollback": ("release", "Go back to the release before."),
    "resume": ("release", "Let a paused deployment go on."),
    "promote": ("release", "Make the deployment under way live by a person's decision."),
    "status": ("inspect", "The loop at a glance."),
    "lineage": ("inspect", "An answer, back to its rows; a row or person, forward."),
    "models": ("models", "Model versions: scores, cards, signatures, removal of unused ones."),
    "requests": ("inspect", "Recorded requests."),
    "watch": ("improve", "Findings of monitoring."),
    "monitoring": ("monitoring", "render: rules, alerts and dashboards for Prometheus and Grafana."),
    "improve": ("improve", "Proposals, and the retraining that they ask for."),
    "replay": ("judge", "Have two releases answer recorded requests again: is one worse?"),
    "judge": ("judge", "Judge a random sample of a rollout's answers, blind."),
    "feedback": ("improve", "Say what you think of one answer."),
    "cost": ("inspect", "What the loop costs, in all and per good answer."),
    "key": ("access", "Create, list and revoke API keys."),
    "team": ("access", "Limits and budgets of teams."),
    "subject": ("access", "Erase or export what is held about one person."),
    "audit": ("access", "Who did what: the hash-chained log."),
    "import": ("project", "Take in a Hugging Face model folder as a model version."),
    "export": ("models", "Give a model out: Hugging Face folder, GGUF, adapter, MLflow."),
    "backup": ("backup", "Back the project up while it serves, to a folder or a URL."),
    "restore": ("backup", "A project from a backup, in a new place."),
    "migrate": ("backup", "Create the ledger's tables, or bring them up to date."),
    "doctor": ("project", "Check this machine and project."),
    "schema": ("project", "JSON Schema of flyball.yaml, for editors."),
    "completion": ("project", "Shell completion: bash, zsh or fish."),
}
HIDDEN = {"stage": "build", "process": "serve", "trial": "search"}  # run by DVC, by the supervisor, by a search


EXIT_CODES = {
    0: "done",
    1: "a bug in Flyball; the message names the file with its details",
    2: "wrong usage or input, or a key that may not do this",
    3: "no: the gate failed, a release is worse, or nothing permits it",
    4: "not found",
    5: "the machine lacks something, or another process or server does not answer; the message names the cure",
    6: "the gate cannot tell: too few cases",
    130: "interrupted",
}


class Commands(click.Group):
    """Loads a command's module only when that command runs."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        module = HIDDEN.get(name) or (COMMANDS[name][0] if name in COMMANDS else None)
        if module is None:
            return None
        found = getattr(
            importlib.import_module(f"flyball.cli.{module}"),
            f"{name}_command" if name != "import" else "import__command",
        )
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and args[0] not in HIDDEN and not args[0].startswith("-"):
            close = nearest(args[0], list(COMMANDS))
            hint = f" Did you mean {close}?" if close else " See flyball --help."
            raise click.UsageError(f"There is no command {args[0]}.{hint}")
        return super().resolve_command(context, args)

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


EXAMPLES = """\b
Examples:
  flyball init shop && cd shop     a project with sample data
  flyball run                      raw rows → dataset → model → release → gate → deployment
  flyball up                       http://127.0.0.1:8080/v1 and the console on :8400
  flyball lineage ID               an answer, back to its training rows
"""


@click.group(cls=Commands, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="flyball")
def cli() -> None:
    """Closed-loop LLMOps: from raw rows to a served, watched and improved language model."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    code = run(list(sys.argv[1:] if arguments is None else arguments))
    gc.freeze()  # else Python looks for cycles in all that it is about to drop: a seventh of `flyball status`
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; the exit code."""
    try:
        result = cli.main(args=arguments or ["--help"], prog_name="flyball", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except BrokenPipeError:  # the reader has seen enough; nothing may be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the edge: no bug prints a traceback at a user
        return report(as_error(error, arguments), arguments)


def report(error: FlyballError, arguments: list[str]) -> int:
    """Print an expected error: as JSON on standard output where that was asked for, else for people; its exit code."""
    if "--json" in arguments:
        document = {"error": {"code": error.code, "message": error.message, "cure": error.cure}}
        click.echo(msgspec.json.encode(document).decode())
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error}", err=True)
    return error.exit_code
