"""Raw test rows, sent by a client as they stand in the source, score what the gate's report says, in a real engine."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from raw_rows import raw_test_rows, shares_right
from small_shop import SMALL, eventually, ok, serving

WORDINGS = {
    "Rückgabe": ("möchte den Artikel zurückgeben", "schicke die Ware zurück", "Rücksendung ist unterwegs"),
    "Größe": ("die Größe stimmt nicht", "fällt zu groß aus", "brauche es in der nächsten Größe"),
    "Störung": ("das Gerät ist gestört", "hört plötzlich auf", "läuft nicht mehr wie früher"),
    "Gebühr": ("warum fällt eine Gebühr an", "die Mahngebühr war überflüssig", "zusätzliche Kosten für Überweisung"),
}
OPENINGS = ("Schönen guten Tag", "Grüß Gott", "Hallo zusammen", "Liebes Team", "Verehrte Damen", "Moin")
THINGS = ("Kühlschrank", "Schlüsselbrett", "Fön", "Bücherregal", "Hose", "Lampe", "Mütze", "Gürtel", "Stühle", "Uhr")
PLACES = ("Köln", "Zürich", "Lübeck", "Graz", "Düren", "Ulm", "Würzburg", "Jena", "Münster", "Görlitz")


def message(choose: random.Random, label: str) -> str:
    words = [choose.choice(THINGS), choose.choice(PLACES), choose.choice(THINGS), str(choose.randint(100, 999))]
    choose.shuffle(words)
    return f"{choose.choice(OPENINGS)}, {' '.join(words)}: {choose.choice(WORDINGS[label])}"


def html(text: str, choose: random.Random) -> str:
    """As a mail program or a form's editor stores it: tags, attributes, comments, entities."""
    escaped = "".join(f"&#{ord(c)};" if ord(c) > 127 and choose.random() < 0.7 else c for c in text)
    opening, rest = escaped.split(", ", 1)
    words = rest.replace(" ", "&nbsp;", 1)
    return (
        f'<div class="m{choose.randint(1, 99)}"><p>{opening},&#32;</p>\n<!-- {choose.random()} --><p style="x:y">'
        f"<b>{words}</b><br/></p></div>"
    )


def nfd(text: str, _: random.Random) -> str:
    """As file names and some keyboards write: each umlaut is a letter and a mark of its own."""
    return unicodedata.normalize("NFD", text)


def write_source(path: Path, write: Any, *, seed: int, rows: int = 400) -> None:
    choose = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            label = choose.choice(tuple(WORDINGS))
            file.write(json.dumps({"text": write(message(choose, label), choose), "label": label}) + "\n")


SETTINGS = f"""\
version: 1
project: shop
data:
  sources:
    - {{path: html.jsonl, fields: {{label: label}}}}
    - {{path: nfd.jsonl, fields: {{label: label}}}}
  split: {{validation: 0.05, test: 0.25}}
train:
  method: scratch
  {SMALL}
release:
  engine: {{kind: llama.cpp, slots: 4, threads: 1}}
evaluate: {{suites: [test]}}
gate:
  rules: [{{measure: exact_match, at_least: 0.5}}]
"""


@pytest.mark.timeout(600)
def test_raw_rows_with_markup_and_in_nfd_score_through_the_gateway_what_the_gate_decided_on(tmp_path: Path) -> None:
    write_source(tmp_path / "html.jsonl", html, seed=1)
    write_source(tmp_path / "nfd.jsonl", nfd, seed=2)
    (tmp_path / "flyball.yaml").write_text(SETTINGS, encoding="utf-8")
    made = ok("run", cwd=tmp_path)
    match = made["evaluation"]["metrics"]["test.exact_match"]
    rows = raw_test_rows(tmp_path, {name: tmp_path / name for name in ("html.jsonl", "nfd.jsonl")})
    assert all(row.text != row.cleaned for row in rows), "a row that cleaning leaves alone shows nothing"
    with serving(tmp_path) as urls:
        eventually(lambda: ok("status", cwd=tmp_path)["live"]["shop"], timeout_s=60)
        share, by_source = shares_right(urls["gateway"], rows, model="shop")
    print(f"gate {match['value']:.3f} [{match['lower']:.3f}, {match['upper']:.3f}], raw rows {share:.3f} {by_source}")
    assert match["value"] > 0.9, "rows that the model has not learned show nothing"
    assert match["lower"] <= share <= match["upper"]
    assert set(by_source) == {"html.jsonl", "nfd.jsonl"}
    assert all(one >= 0.9 for one in by_source.values()), by_source
