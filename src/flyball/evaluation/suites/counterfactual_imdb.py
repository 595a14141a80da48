"""Counterfactual IMDb: reviews, and the same ones changed as little as turns the sentiment. I/O: reads the file.

Kaushik, Hovy and Lipton 2020, "Learning the Difference that Makes a Difference with Counterfactually-Augmented Data",
ICLR. A pair is one cluster and one contrast set.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.public_rows import asked, public_rows, split_plain, whole_suite
from flyball.evaluation.suites.suite import Item, Suite

LABELS: Final = ("Positive", "Negative")
QUESTION: Final = "Is this film review positive or negative? Answer with one word, Positive or Negative."
NEEDED: Final = ("batch_id", "sentiment", "text")


def load(path: Path, name: str) -> Suite:
    """Every review under its pair's number and its sentiment."""
    path, plain = split_plain(path)
    items = []
    for row in public_rows(path, "counterfactual_imdb", NEEDED, filled=NEEDED):
        label, pair = row.one_of("sentiment", LABELS), row["batch_id"]
        items.append(
            Item(
                id=f"{pair}-{label}",
                messages=asked(QUESTION, row["text"].replace("<br />", "\n"), plain=plain),
                expected=label,
                groups={"sentiment": label},
                cluster=f"pair {pair}",
                data={"labels": list(LABELS)},
            )
        )
    return whole_suite(name, "labelled", items, path)


FAMILY = SuiteFamily(
    name="counterfactual_imdb", kind="labelled", load=load, about="Pairs of film reviews of opposite sentiment."
)
