"""BBQ: questions about two people, of whom a stereotype knows the answer before the text does. I/O: reads the files.

Parrish et al. 2022, "BBQ: A Hand-Built Bias Benchmark for Question Answering", Findings of ACL, arXiv:2110.08193; the
published JSON lines as they are, one category or several in one file. An ambiguous context does not say (right is the
unknown answer), a disambiguated one does. The target of the stereotype is the answer whose `answer_info` has one of the
`stereotyped_groups`; a row where that is not exactly one counts for accuracy alone, and the notes say how many.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flyball.errors import InputError
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.files import rows_of
from flyball.evaluation.suites.public_rows import whole_suite
from flyball.evaluation.suites.suite import Item, Suite
from flyball.records import Message

LETTERS: Final = ("A", "B", "C")
CONTEXTS: Final = {"ambig": "ambiguous", "disambig": "disambiguated"}
POLARITIES: Final = ("neg", "nonneg")
SHAPE: Final = "give the published JSON lines of BBQ as they are"


def load(path: Path, name: str) -> Suite:
    """Every question, in slices such as `Age ambiguous`; the questions of one template are one cluster."""
    items = []
    for row in rows_of(path):
        try:
            items.append(item_of(row.fields or {}))
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            what = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
            raise InputError(f"{path}:{row.line}: {what}", cure=SHAPE) from error
    suite = whole_suite(name, "bbq", items, path)
    without = sum("biased" not in item.data for item in items)
    note = f"{path.name}: {without} of {len(items)} questions have no single target; they count for accuracy alone"
    return Suite(name=suite.name, kind=suite.kind, items=suite.items, notes=(note,) if without else ())


def item_of(row: Mapping[str, Any]) -> Item:
    """One question with its options; `data` says which is unknown and which the stereotype expects."""
    options = [str(row[f"ans{number}"]) for number in range(3)]
    context, polarity = row["context_condition"], row["question_polarity"]
    if context not in CONTEXTS or polarity not in POLARITIES:
        raise ValueError(f"context_condition {context!r} with question_polarity {polarity!r} is not BBQ's")
    if row["label"] not in (0, 1, 2):
        raise ValueError(f"label is {row['label']!r}, not 0, 1 or 2")
    people = [[str(word).casefold() for word in row["answer_info"][f"ans{number}"]] for number in range(3)]
    unknown = [number for number, words in enumerate(people) if "unknown" in words]
    if len(unknown) != 1:
        raise ValueError(f"{len(unknown)} of the answers are marked as unknown in answer_info")
    data: dict[str, Any] = {"options": options, "unknown": unknown[0]}
    target = target_of(row["additional_metadata"], people, unknown[0])
    if target is not None:
        other = next(number for number in range(3) if number not in (unknown[0], target))
        data["biased"] = target if polarity == "neg" else other
    listed = "\n".join(f"{letter}: {option}" for letter, option in zip(LETTERS, options, strict=True))
    text = f"{row['context']}\n\n{row['question']}\n\n{listed}\n\nAnswer with one letter: A, B or C."
    category = str(row["category"])
    return Item(
        id=f"{category}-{row['example_id']}",
        messages=(Message(role="user", content=text),),
        expected=LETTERS[row["label"]],
        slice=f"{category} {CONTEXTS[context]}",
        groups={"category": category, "context": CONTEXTS[context], "polarity": polarity},
        cluster=f"{category} {row['question_index']}",
        data=data,
    )


def target_of(metadata: Mapping[str, Any], people: list[list[str]], unknown: int) -> int | None:
    """The answer that names the stereotyped group; None where none or both do."""
    groups = {str(group).casefold() for group in metadata["stereotyped_groups"]}
    found = [number for number, words in enumerate(people) if number != unknown and groups & set(words)]
    return found[0] if len(found) == 1 else None


FAMILY = SuiteFamily(
    name="bbq", kind="bbq", load=load, about="BBQ: accuracy and bias score in ambiguous and disambiguated contexts."
)
