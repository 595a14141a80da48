"""Commands about suites: which families there are, what is in one, a first one from rows, and one for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from flyball.cli.output import emit, emit_lines, json_option, pairs, warned


@click.group(
    "suite",
    epilog="\b\nExamples:\n  flyball suite list\n  flyball suite show cases.jsonl\n"
    "  flyball suite show xstest:xstest.csv\n  flyball suite from labelled.csv --name tickets\n"
    "  flyball suite export checklist:checks.yaml exported/",
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


@suite_command.command("from", epilog="\b\nExample:\n  flyball suite from labelled.csv --name tickets")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="What the suite is called; its file is suites/NAME.jsonl.")
@click.option("--text", "text_column", metavar="COLUMN", help="What is asked; default: by the columns' names.")
@click.option("--label", "label_column", metavar="COLUMN", help="What is expected; default: by the columns' names.")
@click.option(
    "--expect",
    type=click.FloatRange(0.0, 1.0, min_open=True),
    default=0.9,
    show_default=True,
    help="The score that a good release reaches: the gate's threshold is what these rows can prove of it.",
)
@json_option
def from_command(
    source: Path, name: str, text_column: str | None, label_column: str | None, expect: float, as_json: bool
) -> None:
    """Make a suite of at least 20 labelled rows, and print the settings of a gate that so many can decide.

    In a project, rows that its dataset was trained on are left out and counted.
    """
    from flyball.errors import NotFoundError
    from flyball.evaluation.config import EvaluateConfig
    from flyball.evaluation.suites.files import Columns
    from flyball.rollout.config import GateConfig
    from flyball.settings import find_root, load_settings
    from flyball.workflows.suite_from_rows import settings_text, suite_from_rows

    try:
        root: Path | None = find_root(Path.cwd())
    except NotFoundError:
        root = None
    settings = load_settings(root) if root else None
    made = suite_from_rows(
        source,
        name=name,
        root=root or Path.cwd(),
        dataset_dir=root / "loop" / "dataset" if root else None,
        columns=Columns(text=text_column, label=label_column),
        expect=expect,
        alpha=(settings.gate if settings else GateConfig()).alpha,
    )
    text = settings_text(made, (settings.evaluate if settings else EvaluateConfig(suites=())).suites)
    gate = made.gate
    low, high = gate.interval
    more = [
        f"{least} {f'takes {n} cases' if n else 'takes more cases than anybody has'}"
        for least, n in gate.needed.items()
    ]
    said = [
        f"suite     {made.path}: {gate.n} cases, {made.leaked} rows left out that are in the training rows",
        f"decides   a score of {gate.expect:g} in {gate.n} cases is {low:.3f} to {high:.3f} (Clopper–Pearson), "
        f"so that it proves {gate.at_least:g}",
        *([f"closer    at that score, at_least {'; '.join(more)}"] if more else []),
    ]
    document = {"suite": str(made.path), "leaked": made.leaked, "gate": gate, "notes": made.notes, "settings": text}
    emit(document, as_json=as_json, text=lambda _: warned("\n".join([*said, "", text]), made.notes))


@suite_command.command(
    "export",
    epilog="\b\nExample:\n  flyball evaluate URL --suite checklist:checks.yaml --out report\n"
    "  flyball suite export checklist:checks.yaml exported/ --report report\n"
    "  flyball suite export groups:loans.jsonl loans.csv --report report",
)
@click.argument("name", metavar="FAMILY:FILE")
@click.argument("path", metavar="FOLDER|FILE", type=click.Path(path_type=Path))
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of a report on this suite: its answers are written too.",
)
@json_option
def export_command(name: str, path: Path, report: Path | None, as_json: bool) -> None:
    """Write behaviour tests for CheckList, or the answers to cases with groups for AI Fairness 360.

    Behaviour tests become a FOLDER: raw.jsonl, tests.json, which says which line is which test, and predictions.txt.
    Groups become a FILE, CSV or Parquet, and a JSON file beside. `checklist:FOLDER` and `aif360:FILE` read them again.
    """
    from flyball.workflows.suite_export import export_suite

    made = export_suite(name, path, root=Path.cwd(), report=report)
    facts = {"written": str(made.path), "tests": made.tests, "cases": made.cases, "predictions": made.predictions}
    emit(facts, as_json=as_json, text=pairs)
