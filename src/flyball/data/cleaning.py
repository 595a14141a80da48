"""Which preparation the rows of a source get: decided by the settings, by the task and by what the source holds. Pure.

A release prepares requests by the same steps (`inference.preparation`), so that a model reads in production what it was
trained and tested on.
"""

from __future__ import annotations

from collections.abc import Iterable

from flyball.data.config import CleanConfig, SourceConfig
from flyball.inference.preparation import PREPARATION
from flyball.inference.preparation.markup import looks_like_markup
from flyball.records import Preparation

SAMPLE = 1_000
MARKUP_SHARE = 0.1
"""A source is HTML when at least this share of its first rows has tags or entities; people who ask about HTML write it
in fewer."""


def preparation_of(config: CleanConfig, *, task: str, markup: bool) -> Preparation:
    """The steps for texts of a project; conversations keep their white space unless the settings say otherwise."""
    collapses = config.white_space == "collapse" or (config.white_space == "auto" and task == "classification")
    wanted = {"encoding": config.repair_encoding, "markup": markup, "characters": True, "whitespace": collapses}
    return Preparation(version=PREPARATION, steps=tuple(name for name, used in wanted.items() if used))


def is_markup(source: SourceConfig, config: CleanConfig, texts: Iterable[str]) -> bool:
    """Whether the texts of a source are HTML: as it says itself, else as `data.clean` says, else by its first rows."""
    if source.markup is not None:
        return source.markup == "html"
    if config.strip_markup != "auto":
        return config.strip_markup
    looked = found = 0
    for text in texts:
        looked += 1
        found += looks_like_markup(text)
        if looked == SAMPLE:
            break
    return found > 0 and found >= MARKUP_SHARE * looked
