"""Rules about the labels of a dataset: which cannot be learned, and which are likely mistakes of the source. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from flyball.data.config import ValidateConfig
from flyball.errors import InputError
from flyball.inference.labels import homonyms
from flyball.inference.messages import neutralise

SHOWN = 10
MARKERS = re.compile(
    r"</?s>|</?(?:bos|eos|pad|unk|mask)>|<(?:start|end)_of_(?:turn|text)>|\[/?INST\]|<</?SYS>>|\[(?:PAD|UNK|CLS|SEP|MASK)\]",
    re.I,
)
"""What chat templates and tokenizers mark turns and ends with: as a label it would be learned as one."""
MISSING = {"nan", "null", "undefined", "n/a", "#n/a", "<na>", "nat", "nil", "-", "--", "?"}
"""How other programs write that there is no value; `None` counts when it is spelt as Python does."""


def check_labels(labels: Mapping[str, int], config: ValidateConfig) -> None:
    """The rules of `data.validate` about labels; InputError names those that break one."""
    if len(labels) < 2:
        raise InputError(
            f"there is only one class: {', '.join(labels) or 'none'}",
            cure="check data.sources[].fields.label, or use task: chat for free answers",
        )
    rare = sorted(label for label, rows in labels.items() if rows < config.min_rows_per_label)
    if rare:
        raise InputError(
            f"{len(rare)} labels have fewer rows than data.validate.min_rows_per_label"
            f" ({config.min_rows_per_label}): {counted(rare, labels)}",
            cure="add rows for them, leave them out, or lower data.validate.min_rows_per_label",
        )
    check_markers(labels)


def check_trained(labels: Mapping[str, Mapping[str, int]]) -> None:
    """InputError for labels, by side, that are tested on and never trained on."""
    held_out = Counter(labels.get("test", {})) + Counter(labels.get("validation", {}))
    missing = sorted(held_out.keys() - labels.get("train", {}).keys())
    if missing:
        raise InputError(
            f"{len(missing)} labels have no training row, so that nothing can learn them; held out are: "
            f"{counted(missing, held_out)}",
            cure="add rows of them to a training source, or leave them out by listing the others under"
            " data.validate.labels",
        )


def untested(labels: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    """Labels that are trained on and never tested: nobody will know how they fare."""
    trained = labels.get("train", {})
    missing = sorted(trained.keys() - labels.get("test", {}).keys())
    if missing:
        yield (
            f"{len(missing)} labels have no test row, so that no score says how they fare: {counted(missing, trained)}."
            " Each needs rows in two groups"
        )


def counted(names: list[str], rows: Mapping[str, int]) -> str:
    """The first labels with how many rows they have."""
    shown = ", ".join(f"{name!r} ({rows[name]})" for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown


def check_markers(labels: Mapping[str, int]) -> None:
    """InputError for labels that a model could not tell from the end of its answer."""
    marked = sorted(label for label in labels if neutralise(label) != label or MARKERS.search(label))
    if marked:
        raise InputError(
            f"{len(marked)} labels hold markers of chat templates, which end an answer: {counted(marked, labels)}",
            cure="give these labels other names in the source",
        )


def doubts(labels: Mapping[str, int]) -> Iterator[str]:
    """What is likely a mistake, one sentence a kind, with the labels and how many rows they have."""
    alike = homonyms(labels)
    if alike:
        groups = "; ".join(" and ".join(f"{label!r} ({labels[label]})" for label in group) for group in alike[:SHOWN])
        yield (
            f"{len(alike)} groups of labels differ only in case, quotes or the spelling of a number: {groups}."
            " They are kept apart, and an answer counts only when it is exactly one of them"
        )
    missing = sorted(label for label in labels if label.casefold() in MISSING or label == "None")
    if missing:
        rows = counted(missing, labels)
        yield f"these labels look like missing values: {rows}. Leave those rows out, or name the class otherwise"
