"""Commands about suites: which families there are, and what is in one."""

from __future__ import annotations

from pathlib import Path

import click

from flyball.cli.output import emit, emit_lines, json_option, pairs


@click.group(
    "suite",
    epilog="\b\nExamples:\n  flyball suite list\n  flyball suite show cases.jsonl\n"
    "  flyball suite show xstest:xstest.csv",
)
def suite_command() -> None:
    """Cases that releases and servers are measured on; needs no project."""


@suite_command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """The families of suites: each is named as FAMILY:FILE."""
    from flyball.evaluation.suites.catalog import FAMILIES

    rows = [{"family": one.name, "measured_as": one.kind, "about": one.about} for _, one in sorted(FAMILIES.items())]
    emit_lines(rows, as_json=as_json, columns=("family", "measured_as", "about"))


@suite_command.command("show")
@click.argument("name", metavar="FILE|FAMILY:FILE")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """One suite as it is read: its cases, slices, fingerprint, and what was noticed."""
    from flyball.evaluation.suites.catalog import load_suites

    (suite,) = load_suites([name], dataset_dir=None, root=Path.cwd())
    expecting = sum(item.expected is not None for item in suite.items)
    facts = {
        "suite": suite.name,
        "measured_as": suite.kind,
        "cases": len(suite.items),
        "with_expected": expecting,
        "slices": ", ".join(sorted({item.slice for item in suite.items if item.slice})),
        "fingerprint": suite.reference().fingerprint,
        "notes": "; ".join(suite.notes),
        "first_asks": suite.items[0].messages[-1].content,
    }
    emit(facts, as_json=as_json, text=pairs)
