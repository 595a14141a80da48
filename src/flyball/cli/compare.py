"""The commands compare and release diff: what two releases scored on the same cases, and how they were made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.output import ProgressLine, emit, json_option, pairs, show, table, with_project

if TYPE_CHECKING:
    from flyball.evaluation.comparison import Comparison
    from flyball.wiring import Project

MOST_FLIPS = 20


@click.command(
    "compare",
    epilog="\b\nExamples:\n  flyball compare 3f9c2a71b0de 81d0c4e2aa17\n"
    "  flyball compare before/ after/ --suite cases.jsonl --out comparison.html\n"
    "  flyball compare before/ after/ --judge strict",
)
@click.argument("first", metavar="A")
@click.argument("others", metavar="B [C…]", nargs=-1, required=True)
@click.option(
    "--suite", "suites", multiple=True, metavar="FILE|FAMILY:FILE", help="Where the texts of cases are, to show them."
)
@click.option("--judge", metavar="NAME|URL", help="Ask judges/NAME.yaml, or a server, which stored answer is better.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write FILE.html or FILE.md too."
)
@click.option("--project", "-C", "folder", metavar="DIR", help="The project's folder; default: this one or above.")
@json_option
def compare_command(
    first: str,
    others: tuple[str, ...],
    suites: tuple[str, ...],
    judge: str | None,
    out: Path | None,
    folder: str | None,
    as_json: bool,
) -> None:
    """Paired differences (B − A) on the same cases, with intervals, and the cases that changed.

    A, B, … are releases or reports of the ledger (first digits do), or folders of `flyball evaluate URL --out`.
    Asks no server but the one of --judge. Refused where the suites are not the same.
    """
    if out is not None and out.suffix not in (".html", ".md"):
        raise click.BadParameter(f"{out.name} ends neither in .html nor in .md", param_hint="--out")
    from flyball.workflows.compare import compare_reports

    opened: list[Project] = []

    def open_once() -> Project:
        from flyball.wiring import open_project  # folders of reports need none

        opened.append(open_project(Path(folder) if folder else None))
        return opened[0]

    try:
        found = compare_reports([first, *others], suites=suites, opened=open_once, judge=judge, progress=ProgressLine())
    finally:
        for project in opened:
            project.close()
    if out is not None:
        write_page(out, found)
    emit({"comparisons": found}, as_json=as_json, text=lambda _: "\n\n".join(map(comparison_text, found)))


def write_page(out: Path, found: tuple[Comparison, ...]) -> None:
    """The comparison as a page, by the name's ending."""
    from flyball.evaluation.reports.comparison_pages import comparison_html, comparison_markdown

    page = comparison_html(found) if out.suffix == ".html" else comparison_markdown(found)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")


def comparison_text(one: Comparison) -> str:
    """Whole suites, the slices that differ, and the first flips."""
    from flyball.evaluation.reports.comparison_pages import SPENT, flip_row, flips_title, signed, spent_row, summary

    def line(row: Any) -> dict[str, Any]:
        bounds = "–" if row.lower is None else f"[{signed(row.lower)}, {signed(row.upper)}]"
        named = {"suite": row.suite, "measure": row.measure, "slice": row.slice or ""}
        values = {"a": row.first, "b": row.second, "b−a": signed(row.difference), "interval": bounds}
        return {**named, **values, "n": row.n, "method": row.method}

    columns = ("suite", "measure", "a", "b", "b−a", "interval", "n", "method")
    whole = [line(row) for row in one.differences if row.slice is None]
    parts = [line(row) for row in one.differences if row.slice is not None and row.differs]
    head = click.style(f"A {one.first}   B {one.second}", bold=True)
    text = f"{head}\n{summary(one)}\n\n{table(whole, columns)}"
    if parts:
        text += f"\n\nslices that differ\n{table(parts, (*columns[:2], 'slice', *columns[2:]))}"
    if one.spending:
        heads = ("suite", "figure", "a", "b", "b−a", "why not")
        spent = [dict(zip(heads, spent_row(row), strict=True)) for row in one.spending]
        text += f"\n\n{SPENT.lower()}\n{table(spent, heads if any(row.why for row in one.spending) else heads[:-1])}"
    if one.flips:
        names = ("suite", "case", "text", "expected", "a", "b")
        rows = [dict(zip(names, flip_row(flip), strict=True)) for flip in one.flips[:MOST_FLIPS]]
        shown = names if any(flip.text for flip in one.flips) else ("suite", "case", "expected", "a", "b")
        text += f"\n\n{flips_title(one, MOST_FLIPS)}\n{table(rows, shown)}"
    return text


@click.group("release")
def release_command() -> None:
    """Releases side by side."""


@release_command.command("diff")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
@with_project
def diff_command(project: Project, first: str, second: str, as_json: bool) -> None:
    """The fields in which two releases differ: prompt, examples, sampling, model, engine."""
    from flyball.workflows.release_diff import release_diff

    emit(release_diff(project.ledger, first, second), as_json=as_json, text=diff_text)


def diff_text(document: Mapping[str, Any]) -> str:
    """In words: by what a field is about, from what to what; of long texts the lines that differ."""
    from flyball.workflows.release_diff import MISSING, changed_lines

    text = pairs({"A": document["first"], "B": document["second"]})
    if document["same"]:
        return f"{text}\n\nThey are the same release."
    part = ""
    for row in document["fields"]:
        if row["part"] != part:
            part = row["part"]
            text += f"\n\n{click.style(part, bold=True)}"
        a, b = row["first"], row["second"]
        if all(isinstance(value, str | None) for value in (a, b)) and "\n" in (a or "") + (b or ""):
            text += f"\n  {row['field']}:" + "".join(f"\n    {one}" for one in changed_lines(a or "", b or ""))
        else:
            before, after = (MISSING if value is None else show(value) for value in (a, b))
            text += f"\n  {row['field']}: {before} → {after}"
    return text
