"""Every command with its arguments, options and help, and the exit codes of all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click

from flyball.cli.main import COMMANDS, EXIT_CODES, cli
from generation.markdown import cell, code, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One command: what a person types to run it, and itself."""

    path: str
    command: click.Command
    context: click.Context


def commands() -> Iterator[Described]:
    """Every command and each command within one, in the order of `flyball --help`."""
    context = click.Context(cli, info_name="flyball")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None, name
        yield from _within(command, name, context)


def _within(command: click.Command, name: str, parent: click.Context) -> Iterator[Described]:
    context = click.Context(command, info_name=name, parent=parent)
    own = _without_a_name(command, context)
    yield Described(path=context.command_path, command=own or command, context=context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None, inner
            yield from _within(found, inner, context)


def _without_a_name(command: click.Command, context: click.Context) -> click.Command | None:
    """The command that a group runs where none of its own is named, as `flyball deploy RELEASE` does."""
    if not isinstance(command, click.Group) or command.params:
        return None
    try:
        return command.resolve_command(context, ["RELEASE"])[1]
    except click.UsageError:
        return None


def options(command: click.Command) -> Iterator[click.Option]:
    """Its options, in the order of its help."""
    yield from (one for one in command.params if isinstance(one, click.Option) and not one.hidden)


def _usage(one: Described) -> str:
    pieces = one.command.collect_usage_pieces(one.context)
    return " ".join([one.path, *pieces])


def _values(option: click.Option, context: click.Context) -> str:
    if option.is_flag:
        return "flag"
    match option.type:
        case click.Choice():
            kind = ", ".join(code(choice) for choice in option.type.choices)
        case click.IntRange() | click.FloatRange():
            low = f"{'>' if option.type.min_open else '≥'} {option.type.min}" if option.type.min is not None else ""
            high = f"{'<' if option.type.max_open else '≤'} {option.type.max}" if option.type.max is not None else ""
            kind = ", ".join(filter(None, ("number", low, high)))
        case _:
            kind = code(option.make_metavar(context))
    return f"{kind}, repeatable" if option.multiple else kind


def _default(option: click.Option, context: click.Context) -> str:
    value = option.get_default(context, call=False)
    plain = isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""
    return code(value) if plain or (option.show_default and value is not None) else ""


def _paragraphs(text: str | None) -> str:
    """Help or epilogue as Markdown; lines under \\b keep their breaks."""
    return "\n\n".join(
        "```text\n" + block.removeprefix("\b\n") + "\n```" if block.startswith("\b") else " ".join(block.split())
        for block in (text or "").strip("\n ").split("\n\n")
        if block.strip()
    )


def commands_page() -> str:
    """The page of all commands."""
    codes = table(("code", "meaning"), [(str(number), cell(text)) for number, text in EXIT_CODES.items()])
    parts = [
        "# Commands\n\n`flyball COMMAND --help` prints the same. Results are on standard output. Messages, progress "
        "and errors are on standard error.\n",
        f"## Exit codes\n\n{codes}",
    ]
    for one in commands():
        rows = [
            (", ".join(code(name) for name in option.opts), _values(option, one.context),
             _default(option, one.context), cell(option.help or ""))
            for option in options(one.command)
        ]  # fmt: skip
        level = "###" if one.path.count(" ") > 1 else "##"
        parts.append(f"{level} {one.path}\n\n```text\n{_usage(one)}\n```\n\n{_paragraphs(one.command.help)}\n")
        if rows:
            parts.append(table(("option", "values", "default", "what"), rows))
        if one.command.epilog:
            parts.append(_paragraphs(one.command.epilog) + "\n")
    return "\n".join(parts)
