"""The loop as a picture: where each stage's box stands and how the line runs around, in SVG units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flyball.console.stages import Stage

INSET = 14
CHARACTER = {"figure": 10.6, "detail": 5.9, "verb": 7.0}
"""Mean width of a character in the picture's fonts, in units, on the wide side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One stage's box with texts cut to its width."""

    stage: Stage
    x: float
    y: float
    figure: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """One piece of the line, from a stage to the next; `kind`: open, shut (a gate that said no) or idle."""

    path: str
    head: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A few words beside a turn of the line; `anchor` is the side that stands at x."""

    text: str
    x: float
    y: float
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopDiagram:
    """Everything that the template draws."""

    name: str
    width: int
    height: int
    box_width: int
    box_height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    notes: tuple[Note, ...] = ()


def wide(stages: Sequence[Stage]) -> LoopDiagram:
    """Two rows: building to the right, learning back to the left."""
    half = (len(stages) + 1) // 2
    width, gap_y, box_width, box_height = 1216, 64, 172, 106
    step = (width - 2 - box_width) / (half - 1)
    places = [(1 + i * step, 1.0) for i in range(half)]
    places += [(1 + i * step, 1.0 + box_height + gap_y) for i in reversed(range(half))]
    drawn = _drawn("wide", stages, places, size=(width, 2 * box_height + gap_y + 2), box=(box_width, box_height))
    middle = 1 + box_height + gap_y / 2 + 4
    proof = "not admitted: the gate said no" if stages[half - 1].onward == "shut" else "admitted only with proof"
    notes = (
        Note(text=proof, x=places[half][0] + box_width / 2 - 14, y=middle, anchor="end"),
        Note(text="what was learned becomes rows", x=1 + box_width / 2 + 14, y=middle, anchor="start"),
    )
    return replace(drawn, notes=notes)


def tall(stages: Sequence[Stage]) -> LoopDiagram:
    """Two columns for a narrow screen: building downwards, learning back upwards."""
    half = (len(stages) + 1) // 2
    width, gap_y, box_width, box_height = 358, 22, 164, 104
    places = [(1.0, 1.0 + i * (box_height + gap_y)) for i in range(half)]
    places += [(width - 1.0 - box_width, 1.0 + i * (box_height + gap_y)) for i in reversed(range(half))]
    height = half * box_height + (half - 1) * gap_y + 2
    return _drawn("tall", stages, places, size=(width, height), box=(box_width, box_height))


def _drawn(
    name: str,
    stages: Sequence[Stage],
    places: Sequence[tuple[float, float]],
    *,
    size: tuple[int, int],
    box: tuple[int, int],
) -> LoopDiagram:
    room = box[0] - 2 * INSET
    boxes = tuple(
        Box(
            stage=stage,
            x=x,
            y=y,
            figure=fit(stage.figure, room / CHARACTER["figure"]),
            detail=fit(stage.detail, room / CHARACTER["detail"]),
        )
        for stage, (x, y) in zip(stages, places, strict=True)
    )
    following = [*places[1:], places[0]]
    arrows = tuple(
        _arrow(here, there, box, stage.onward) for stage, here, there in zip(stages, places, following, strict=True)
    )
    return LoopDiagram(
        name=name,
        width=size[0],
        height=size[1],
        box_width=box[0],
        box_height=box[1],
        boxes=boxes,
        arrows=arrows,
    )


def _arrow(here: tuple[float, float], there: tuple[float, float], box: tuple[int, int], kind: str) -> Arrow:
    """A straight line between the facing edges of two neighbours, with its head."""
    (x, y), (u, v), (w, h) = here, there, box
    if y == v:
        right = u > x
        start, end, middle = (x + w if right else x), (u if right else u + w), y + h / 2
        back = -6 if right else 6
        tip = end + (-3 if right else 3)
        return Arrow(
            path=f"M{start:g} {middle:g}H{tip:g}",
            head=f"M{tip + back:g} {middle - 5:g}L{tip:g} {middle:g}L{tip + back:g} {middle + 5:g}",
            kind=kind,
        )
    down = v > y
    start, end, centre = (y + h if down else y), (v if down else v + h), x + w / 2
    back, tip = (-6, end - 3) if down else (6, end + 3)
    return Arrow(
        path=f"M{centre:g} {start:g}V{tip:g}",
        head=f"M{centre - 5:g} {tip + back:g}L{centre:g} {tip:g}L{centre + 5:g} {tip + back:g}",
        kind=kind,
    )


def fit(text: str, characters: float) -> str:
    """`text` in at most so many characters, with an ellipsis where some are missing."""
    return text if len(text) <= characters else text[: max(1, int(characters) - 1)].rstrip() + "…"
