"""Commands about text classifiers: train, score, show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from flyball.cli.output import emit, emit_lines, json_option, pairs, say, with_project
from flyball.wiring import Project

if TYPE_CHECKING:
    from flyball.inference.classifiers.folder import Classifier


@click.group(
    "classifier",
    epilog="\b\nExamples:\n  flyball classifier train toxicity --data rows.jsonl --label toxic --positive yes\n"
    "  flyball classifier score toxicity --text 'You are all fools.'\n  flyball classifier show toxicity",
)
def classifier_command() -> None:
    """Small text classifiers of the project, in classifiers/NAME."""


@classifier_command.command(
    "train",
    epilog="\b\nExample:\n  flyball classifier train toxicity --data a.csv --data b.jsonl --label toxic --positive yes",
)
@click.argument("name")
@click.option("--data", "files", multiple=True, required=True, metavar="FILE", help="Rows in any format of sources.")
@click.option("--text", default="text", show_default=True, help="The column with the text.")
@click.option("--label", default="label", show_default=True, help="The column with the label.")
@click.option("--positive", default="1", show_default=True, help="The label to detect; all others are its opposite.")
@click.option("--group", help="A column: rows with one value are held out together.")
@click.option("--licence", "licences", multiple=True, help="Of the data, for the header: one for all, or one a file.")
@click.option("--replace", is_flag=True, help="Put it in the place of the one with this name.")
@json_option
@with_project
def train_command(
    project: Project,
    name: str,
    files: tuple[str, ...],
    text: str,
    label: str,
    positive: str,
    group: str | None,
    licences: tuple[str, ...],
    replace: bool,
    as_json: bool,
) -> None:
    """Learn to tell one label from all others; a tenth of the rows is held out, and gives the figures."""
    from flyball.inference.labels import one_form
    from flyball.training.classifier_rows import Columns
    from flyball.workflows.classifiers import train_classifier

    columns = Columns(text=text, label=label, positive=one_form(positive), group=group)
    paths = [Path(file) for file in files]
    made = train_classifier(project.root, name, paths, columns, licences=licences, replace=replace, say=say)
    emit(facts_of(name, made), as_json=as_json, text=pairs)


@classifier_command.command("show", epilog="\b\nExample:\n  flyball classifier show toxicity")
@click.argument("name")
@json_option
@with_project
def show_command(project: Project, name: str, as_json: bool) -> None:
    """What a classifier tells apart, what it learned from, and what it gets right on held-out rows."""
    emit(facts_of(name, named(project, name)), as_json=as_json, text=pairs)


@classifier_command.command(
    "score",
    epilog="\b\nExamples:\n  flyball classifier score toxicity --text 'You are all fools.'\n"
    "  flyball classifier score toxicity --file answers.txt --json",
)
@click.argument("name")
@click.option("--text", "texts", multiple=True, help="A text; may be given again.")
@click.option("--file", type=click.File("rb"), help="A file with one text a line; - is standard input.")
@json_option
@with_project
def score_command(project: Project, name: str, texts: tuple[str, ...], file: BinaryIO | None, as_json: bool) -> None:
    """The probability of the positive label for each text, and whether it reaches the threshold."""
    if not texts and file is None:
        raise click.UsageError("Give --text or --file.")
    made = named(project, name)
    lines = [line.decode("utf-8", "replace").rstrip("\r\n") for line in file] if file else []
    rows = [
        {"probability": round(made.score([text])[0], 4), "positive": made.positives([text])[0], "text": text}
        for text in (*texts, *lines)
    ]
    emit_lines(rows, as_json=as_json, columns=("probability", "positive", "text"))


def named(project: Project, name: str) -> Classifier:
    """The project's classifier of this name."""
    from flyball.inference.classifiers.folder import classifier_folder, load_classifier

    return load_classifier(classifier_folder(project.root, name))


def facts_of(name: str, made: Classifier) -> dict[str, Any]:
    """What people and programs want to know of a classifier."""
    header, held = made.header, made.header.held_out
    sources = [f"{one.name} ({one.rows:,} rows, {one.licence or 'licence not given'})" for one in header.data]
    return {
        "classifier": name,
        "positive": header.positive,
        "negative": list(header.negative),
        "threshold": header.threshold,
        "held_out_macro_f1": held.macro_f1,
        "interval": [held.macro_f1_lower, held.macro_f1_upper],
        "level": held.level,
        "true_positives": held.true_positives,
        "false_negatives": held.false_negatives,
        "false_positives": held.false_positives,
        "true_negatives": held.true_negatives,
        "trained_on": header.trained_on,
        "chosen_on": header.chosen_on,
        "settings": header.settings,
        "left_out": header.left_out,
        "data": sources,
        "digest": made.digest,
    }
