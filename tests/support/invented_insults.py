"""Invented texts of two kinds that words tell apart, for classifiers: insults of invented beings, and praise."""

from __future__ import annotations

import json
import random
from pathlib import Path

BEINGS = ("glorps", "zindles", "mibbers", "quarns", "tallows", "frindels")
RUDE = ("stink", "are vermin", "ruin everything", "should vanish", "are worthless", "make me sick")
KIND = ("sing well", "are welcome", "help everyone", "bake bread", "are generous", "make me smile")
PLACES = ("in the valley", "by the sea", "at work", "on Mondays", "every winter", "near the old mill", "upstairs")


def invented_texts(count: int, *, seed: int = 1) -> list[tuple[str, str]]:
    """So many different texts with `rude` or `kind`; one in twenty has the other label."""
    dice = random.Random(seed)
    found: dict[str, str] = {}
    while len(found) < count:
        label = dice.choice(("rude", "kind"))
        said = dice.choice(RUDE if label == "rude" else KIND)
        text = f"The {dice.choice(BEINGS)} number {dice.randrange(1000)} {said} {dice.choice(PLACES)}."
        wrong = dice.random() < 0.05
        found[text] = ("kind" if label == "rude" else "rude") if wrong else label
    return list(found.items())


def write_invented(path: Path, count: int = 1200, *, seed: int = 1) -> Path:
    """The texts as JSON Lines with `words` and `kind`."""
    rows = [json.dumps({"words": text, "kind": label}) for text, label in invented_texts(count, seed=seed)]
    path.write_text("\n".join(rows) + "\n")
    return path
