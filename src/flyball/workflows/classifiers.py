"""Train a text classifier into the project's folder, and score texts with it. I/O: reads rows, writes the folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from flyball.errors import InputError
from flyball.inference.classifiers.folder import (
    Classifier,
    classifier_folder,
    load_classifier,
    packed_weights,
    write_classifier,
)
from flyball.training.classifier_model import header_of, learned
from flyball.training.classifier_rows import Columns, read_rows


def train_classifier(
    root: Path,
    name: str,
    files: Sequence[Path],
    columns: Columns,
    *,
    licences: Sequence[str] = (),
    replace: bool = False,
    say: Callable[[str], None],
) -> Classifier:
    """Learn from the files' rows and write `classifiers/NAME`; the same rows give the same bytes."""
    folder = classifier_folder(root, name)
    if folder.exists() and not replace:
        raise InputError(f"there is a classifier in {folder}", cure="add --replace, or choose another name")
    if len(licences) not in (0, 1, len(files)):
        raise InputError(
            f"{len(licences)} licences for {len(files)} files", cure="give one for all, or one for each --data"
        )
    rows = read_rows(files, columns, licences=licences)
    trained = learned(rows, say)
    weights, sha256 = packed_weights(trained.weights)
    header = header_of(trained, rows, positive=columns.positive, weights_sha256=sha256)
    write_classifier(folder, header, weights)
    return load_classifier(folder)
