"""How commands speak: results on standard output (text or JSON), all else on standard error. I/O: both streams."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import update_wrapper
from typing import Any, TypeVar

import click
import msgspec

F = TypeVar("F", bound=Callable[..., Any])
MOMENTS = frozenset({"at_ms", "created_ms", "expires_ms", "exported_ms", "revoked_ms", "started_ms"})
"""Names of milliseconds since 1970; people get them as local time, under the name without its unit."""
EARLIEST_MS = 100_000_000_000
"""Whatever else ends in `_ms` and is no smaller is such a moment too (1973), since no duration here takes years."""
_project_option = click.option(
    "--project", "-C", "project_folder", metavar="DIR", help="The project's folder; default: this one or above."
)
_state_option = click.option(
    "--state", metavar="DIR", help="Of a `flyball gateway` without a project: its state folder."
)


def emit(result: object, *, as_json: bool, text: Callable[[Any], str]) -> None:
    """Print a result: one JSON object, or its text for people."""
    if as_json:
        click.echo(msgspec.json.encode(result, order="deterministic").decode())
    else:
        click.echo(text(result))


def emit_lines(rows: Iterable[Mapping[str, Any]], *, as_json: bool, columns: tuple[str, ...]) -> None:
    """Print a list: JSON Lines, or a table for people."""
    if as_json:
        for row in rows:
            click.echo(msgspec.json.encode(row).decode())
        return
    click.echo(table(list(rows), columns))


def table(rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...]) -> str:
    """Rows as aligned text with a heading."""
    named = [[fact(column, row.get(column)) for column in columns] for row in rows]
    cells = [[text for _, text in line] for line in named]
    names = [fact(column, None)[0] for column in columns]
    widths = [max(len(name), *(len(line[i]) for line in cells)) if cells else len(name) for i, name in enumerate(names)]
    heading = "  ".join(name.upper().replace("_", " ").ljust(width) for name, width in zip(names, widths, strict=True))
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([click.style(heading.rstrip(), bold=True), *lines]) if lines else "(none)"


def pairs(facts: Mapping[str, Any]) -> str:
    """Facts as aligned `name  value` lines; an id that is a fact of its own stays whole, to be copied."""
    shown = [(name, value) if is_id(value) else fact(name, value) for name, value in facts.items()]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{click.style(name.ljust(width), bold=True)}  {text}" for name, text in shown)


def warned(text: str, warnings: Iterable[str]) -> str:
    """A result's text, and below it what is likely wrong, a line each."""
    return "\n".join([text, *(f"{click.style('warning', fg='yellow', bold=True)}  {said}" for said in warnings)])


def fact(name: str, value: Any) -> tuple[str, str]:
    """Name and value as a person reads them."""
    if name in MOMENTS or is_moment(name, value):
        return name.removesuffix("_ms"), show(None) if value is None else clock(value)
    return name, show(value)


def is_moment(name: str, value: Any) -> bool:
    """Whether a value is milliseconds since 1970 rather than a duration."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return name.endswith("_ms") and number and value >= EARLIEST_MS


def clock(at_ms: float) -> str:
    """A moment in local time, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))


def is_id(value: Any) -> bool:
    """Whether a value is a fingerprint or another SHA-256."""
    return isinstance(value, str) and len(value) == 64 and all(c in "0123456789abcdef" for c in value)


def show(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 and math.isfinite(value) else f"{value:.4g}"
    if is_id(value):
        return str(value)[:12]
    if isinstance(value, list | tuple):
        return ", ".join(show(item) for item in value)
    if isinstance(value, Mapping):
        return "  ".join(" ".join(fact(show(name), item)) for name, item in value.items()) or "–"
    return str(value)


class ProgressLine:
    """Long work on standard error: a line that redraws on a terminal, a line every few seconds elsewhere."""

    def __init__(self, *, every_s: float = 5.0) -> None:
        self.terminal = sys.stderr.isatty()
        self.every_s = 0.1 if self.terminal else every_s
        self.last = 0.0
        self.began: dict[str, float] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        key = what.split(" · ")[0]
        began = self.began.setdefault(key, now)
        finished = bool(total) and done >= total
        if now - self.last < self.every_s and not finished:
            return
        self.last = now
        left = (now - began) / done * (total - done) if done and total else 0.0
        share = f" {done}/{total}" if total else (f" {done}" if done else "")
        line = f"  {what}{share}" + (f" · {left:.0f} s left" if left >= 1 and not finished else "")
        if self.terminal:
            sys.stderr.write("\r\x1b[2K" + line + ("\n" if finished else ""))
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()


def json_option(function: F) -> F:
    """`--json`: machine-readable output."""
    promise = "For machines: one JSON object on standard output; of a list, one a line."
    return click.option("--json", "as_json", is_flag=True, help=promise)(function)


def say(message: str) -> None:
    """A line for people on standard error."""
    click.echo(message, err=True)


def with_project(function: Callable[..., Any]) -> Callable[..., Any]:
    """Open the project of the current folder (or --project DIR), hand it to the command, and close it."""

    @_project_option
    def wrapped(project_folder: str | None, *args: Any, **kwargs: Any) -> Any:
        from pathlib import Path

        if click.get_current_context().invoked_subcommand:
            return None  # of a group, which opens the project itself
        from flyball.wiring import open_project  # keeps `--help` under its budget

        project = open_project(Path(project_folder) if project_folder else None)
        try:
            return function(project, *args, **kwargs)
        finally:
            project.close()

    return update_wrapper(wrapped, function)


def with_project_or_state(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hand over the project, or with --state DIR the folder (a Path) of a `flyball gateway` without one."""

    in_project = with_project(function)

    @_project_option
    @_state_option
    def wrapped(project_folder: str | None, state: str | None, *args: Any, **kwargs: Any) -> Any:
        from pathlib import Path

        return in_project(project_folder, *args, **kwargs) if state is None else function(Path(state), *args, **kwargs)

    return update_wrapper(wrapped, function)


def with_new_ledger(function: Callable[..., Any]) -> Callable[..., Any]:
    """`with_ledger`, also for the state folder of a gateway that is still to be started."""
    return with_ledger(function, makes_state=True)


def with_ledger(function: Callable[..., Any], *, makes_state: bool = False) -> Callable[..., Any]:
    """Hand over the ledger of a project, or with --state DIR that of a `flyball gateway` without one."""

    @_project_option
    @_state_option
    def wrapped(project_folder: str | None, state: str | None, *args: Any, **kwargs: Any) -> Any:
        from pathlib import Path

        if state is None:
            from flyball.wiring import open_project  # keeps `--help` under its budget

            ledger = open_project(Path(project_folder) if project_folder else None).ledger
        else:
            from flyball.standalone.state import check_used, open_state, state_key

            if makes_state:
                state_key(Path(state))
            else:
                check_used(Path(state))
            ledger = open_state(Path(state))
        try:
            return function(ledger, *args, **kwargs)
        finally:
            ledger.close()

    return update_wrapper(wrapped, function)
