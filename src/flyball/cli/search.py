"""Commands about searches: the search itself, show, apply; and the trial that a search runs."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.output import ProgressLine, emit, json_option, pairs, say, show, with_project
from flyball.errors import NotFoundError
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.workflows.search import Search
    from flyball.workflows.search_study import Trial

DEFAULT_NAME = "recipe"


@click.group(
    "search",
    invoke_without_command=True,
    epilog="\b\nExamples:\n  flyball search\n  flyball search --name rates --trials 40 --seconds 1800\n"
    "  flyball search apply",
)
@click.option("--name", default=DEFAULT_NAME, show_default=True, help="The search; one that was begun goes on.")
@click.option("--trials", type=click.IntRange(1), help="Recipes trained at most. Default: search.trials.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="For all trials. Default: search.seconds.")
@json_option
@with_project
def search_command(project: Project, name: str, trials: int | None, seconds: float | None, as_json: bool) -> None:
    """Look for a better recipe: values of `search.fields`, ranked by validation rows, within a budget.

    The rows that the gate decides on are never asked. Ctrl-c and kills lose no finished trial.
    """
    from flyball.workflows.search import Budget, search

    config = project.settings.search
    budget = Budget(trials=trials or config.trials, seconds=seconds or config.seconds)
    live = LiveTable(direction=config.direction)
    try:
        found = search(project, name, budget=budget, watch=live, say=say)
    except KeyboardInterrupt:
        again = "" if name == DEFAULT_NAME else f" --name {name}"
        live.clear()
        say(f"stopped; finished trials are kept: `flyball search{again}` goes on")
        raise
    live.clear()
    tell(project, found, as_json=as_json)


@search_command.command("show", epilog="\b\nExample:\n  flyball search show rates --json")
@click.argument("name", default=DEFAULT_NAME)
@json_option
@with_project
def show_command(project: Project, name: str, as_json: bool) -> None:
    """A search as it stands: its trials, the best recipe, what mattered."""
    tell(project, stored(project, name), as_json=as_json)


@search_command.command("apply", epilog="\b\nExamples:\n  flyball search apply\n  flyball search apply rates --print")
@click.argument("name", default=DEFAULT_NAME)
@click.option("--print", "only_print", is_flag=True, help="Print flyball.yaml with the recipe in it; write nothing.")
@json_option
@with_project
def apply_command(project: Project, name: str, only_print: bool, as_json: bool) -> None:
    """Write the best recipe of a search into flyball.yaml; comments and all else stay."""
    from flyball.settings import FILE
    from flyball.whole_files import replace_file
    from flyball.workflows.search_result import applied

    found = stored(project, name)
    if found.best is None:
        raise NotFoundError(f"the search {name} has no finished trial", cure="run `flyball search` first")
    made = applied(project, found)
    if only_print:
        click.echo(made.text, nl=False)
        return
    if made.changes:
        replace_file(project.root / FILE, made.text.encode(), durable=True)
    document = {"search": name, "trial": found.best.number, "changed": made.changes, "written": bool(made.changes)}
    emit(document, as_json=as_json, text=lambda _: made.diff or f"{FILE} has the best recipe already")


def stored(project: Project, name: str) -> Search:
    """A search that was begun."""
    from flyball.workflows.search import standing
    from flyball.workflows.search_study import existing_study

    return standing(existing_study(project.places.search, name), name)


def tell(project: Project, found: Search, *, as_json: bool) -> None:
    """Print a search, and write its page."""
    from flyball.workflows.search_result import document_of

    emit(document_of(project, found), as_json=as_json, text=search_text)


def search_text(document: Mapping[str, Any]) -> str:
    """A search for people."""
    best, as_is = document["best"], document["as_is"]
    facts: dict[str, Any] = {"search": document["search"]}
    if document["ended"]:
        facts["ended"] = document["ended"]
    facts["trials"] = ", ".join(f"{count} {state}" for state, count in document["states"].items()) or "none"
    facts["ranked by"] = f"{document['ranked_by']}, {document['direction']}"
    for name, trial in (("flyball.yaml as it was", as_is), ("best", best)):
        facts[name] = f"{outcome(trial)} (trial {trial['trial']})" if trial else "none finished"
    for field, share in document["importances"].items():
        facts[f"importance of {field}"] = share
    facts["page"] = document["page"]
    text = pairs(facts)
    if not document["diff"]:
        return f"{text}\nno trial did better than flyball.yaml as it is" if best else text
    name = "" if document["search"] == DEFAULT_NAME else f" {document['search']}"
    return (
        f"{text}\n\n{document['diff']}\n`flyball search apply{name}` writes it. The best of many is lucky on the rows "
        "that chose it:\n`flyball run` measures it on the gate's."
    )


def outcome(trial: Mapping[str, Any]) -> str:
    """A trial's value with its interval."""
    return f"{show(trial['value'])} [{show(trial['lower'])}, {show(trial['upper'])}] of {trial['n']} cases"


class LiveTable:
    """Trials on standard error as they end, and on a terminal the one that runs."""

    def __init__(self, *, direction: str) -> None:
        self.progress = ProgressLine(every_s=30.0)
        self.sign = 1.0 if direction == "maximize" else -1.0
        self.best: float | None = None
        self.headed = False

    def __call__(self, trial: Trial | None, doing: str) -> None:
        if trial is None:
            self.progress(doing, 0, 0)
            return
        from flyball.workflows.search import shown_values

        self.clear()
        if not self.headed:
            self.headed = True
            say(click.style("TRIAL  VALUE   BEST    SECONDS  RECIPE", bold=True))
        if trial.value is not None and (self.best is None or self.sign * trial.value > self.sign * self.best):
            self.best = trial.value
        value = show(trial.value) if trial.value is not None else trial.state
        recipe = shown_values(trial.values) or "flyball.yaml as it is"
        note = f"  ({trial.note})" if trial.note else ""
        say(f"{trial.number:<5}  {value:<6}  {show(self.best):<6}  {trial.seconds:<7.1f}  {recipe}{note}")

    def clear(self) -> None:
        """Take the line of the running trial away."""
        if self.progress.terminal:
            sys.stderr.write("\r\x1b[2K")


@click.command("trial", hidden=True)
@click.argument("folder", type=click.Path(path_type=Path))
def trial_command(folder: Path) -> int:
    """Run one trial of a search, as `flyball search` does."""
    from flyball.cli.error_messages import as_error
    from flyball.telemetry import configure_logging
    from flyball.workflows.search_trial import run_trial, trial_error

    configure_logging(level="WARNING")
    try:
        run_trial(folder, ProgressLine(every_s=30.0))
    except Exception as error:  # noqa: BLE001 - the edge: the search that waits speaks for it
        known = as_error(error, ["trial", str(folder)])
        trial_error(folder, known)
        return known.exit_code
    return 0
