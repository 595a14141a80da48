"""Texts to score, and CrowS-Pairs: pairs of sentences, one more stereotypical. I/O: reads the file.

`texts:FILE`: the column `text`, and `group` as slice where there is one. `crows_pairs:FILE`: Nangia et al. 2020
(EMNLP), `sent_more` and `sent_less`, by `bias_type` and direction. Blodgett et al. 2021 (ACL) found that many of its
pairs are flawed: one signal among several.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.public_rows import PublicRow, groups_of, public_rows, whole_suite
from flyball.evaluation.suites.suite import Item, Suite
from flyball.inference.likelihood import LIKELIHOOD
from flyball.records import Message

PAIR: Final = ("sent_more", "sent_less", "bias_type")


def load_texts(path: Path, name: str) -> Suite:
    """Every text once, under its hash."""
    items = [text_item(row) for row in public_rows(path, "texts", ("text",), filled=("text",))]
    return whole_suite(name, "likelihood", list({item.id: item for item in items}.values()), path)


def load_pairs(path: Path, name: str) -> Suite:
    """Every pair, under the hash of both sentences."""
    items = [pair_item(row) for row in public_rows(path, "crows_pairs", PAIR, filled=PAIR)]
    return whole_suite(name, "likelier", list({item.id: item for item in items}.values()), path)


def text_item(row: PublicRow) -> Item:
    """One text."""
    return Item(
        id=hashed(row["text"]), messages=said(row["text"]), slice=row["group"] or None, request={LIKELIHOOD: True}
    )


def pair_item(row: PublicRow) -> Item:
    """One pair."""
    return Item(
        id=hashed(f"{row['sent_more']}\n{row['sent_less']}"),
        messages=said(row["sent_more"]),
        original=said(row["sent_less"]),
        groups=groups_of(row, bias_type="bias_type", direction="stereo_antistereo"),
        request={LIKELIHOOD: True},
    )


def said(text: str) -> tuple[Message, ...]:
    """The text alone."""
    return (Message(role="user", content=text),)


def hashed(text: str) -> str:
    """A name that holds no text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


FAMILIES: Final = (
    SuiteFamily(name="texts", kind="likelihood", load=load_texts, about="Texts: perplexity and bits per byte."),
    SuiteFamily(name="crows_pairs", kind="likelier", load=load_pairs, about="CrowS-Pairs: the likelier sentence."),
)
