"""A comparison as a page: HTML of its own, or Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from jinja2 import Environment, StrictUndefined

from flyball.evaluation.comparison import Comparison, Difference, Flip, Side, SpentBoth
from flyball.evaluation.reports.answer_costs import shown
from flyball.evaluation.reports.html import SECTIONS, Section, figure, page
from flyball.evaluation.reports.markdown import escaped
from flyball.evaluation.reports.markdown import table as markdown_table

MOST_FLIPS: Final = 200
MOST_FLIPS_MARKDOWN: Final = 20
HEADS: Final = ("Suite", "Measure", "Slice", "First", "Second", "Difference", "Lower", "Upper", "n", "Method")
FLIP_HEADS: Final = ("Suite", "Case", "Text", "Expected", "First", "Second")
SPENT: Final = "Tokens, time and cost"
SPENT_HEADS: Final = ("Suite", "Figure", "First", "Second", "Difference", "Why not")
PAGE: Final = page("{{ title }}", "<h1>{{ title }}</h1>\n" + SECTIONS, images="")


def comparison_html(found: Sequence[Comparison]) -> str:
    """One page over all comparisons, which share the first side."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = figure
    sections = [section for one in found for section in sections_of(one)]
    return environment.from_string(PAGE).render(title=title_of(found), sections=sections, verdicts=())


def comparison_markdown(found: Sequence[Comparison]) -> str:
    """For a pull request: whole suites, the slices that differ, and some flips."""
    parts = [f"## {escaped(title_of(found))}"]
    for one in found:
        shown = [row for row in one.differences if row.slice is None or row.differs]
        rows = [[figure(cell) for cell in line] for line in map(row_of, shown)]
        parts += [f"### {escaped(one.second)} − {escaped(one.first)}", escaped(summary(one))]
        parts.append(markdown_table(HEADS, rows))
        if one.spending:
            parts += [f"#### {SPENT}", markdown_table(SPENT_HEADS, map(spent_row, one.spending))]
        if one.flips:
            lines = [flip_row(flip) for flip in one.flips[:MOST_FLIPS_MARKDOWN]]
            parts += [f"#### {escaped(flips_title(one, MOST_FLIPS_MARKDOWN))}", markdown_table(FLIP_HEADS, lines)]
    return "\n\n".join(parts) + "\n"


def title_of(found: Sequence[Comparison]) -> str:
    """Who is compared with whom."""
    return f"{', '.join(one.second for one in found)} against {found[0].first}"


def summary(one: Comparison) -> str:
    """What the intervals say together, and how to read them."""
    bounded = [row for row in one.differences if row.lower is not None]
    differ = sum(row.differs for row in bounded)
    chance = (1.0 - one.level) * len(bounded)
    return (
        f"{one.cases} cases. {differ} of {len(bounded)} intervals leave zero out; of so many that do not differ about "
        f"{chance:.1f} would by chance, as each holds at {one.level:.0%} on its own."
    )


def sections_of(one: Comparison) -> Iterator[Section]:
    """Whole suites, slices, flips."""
    whole = [row for row in one.differences if row.slice is None]
    parts = sorted((row for row in one.differences if row.slice is not None), key=lambda row: not row.differs)
    name = f"{one.second} − {one.first}"
    yield Section(title=name, caption=summary(one), heads=HEADS, rows=tuple(map(row_of, whole)))
    caption = "Those whose interval leaves zero out first."
    yield Section(title=f"{name}, by slice", caption=caption, heads=HEADS, rows=tuple(map(row_of, parts)))
    yield Section(title=f"{name}: {SPENT}", heads=SPENT_HEADS, rows=tuple(map(spent_row, one.spending)))
    yield Section(
        title=flips_title(one, MOST_FLIPS),
        caption="By the first measure of each suite, what became worse first. Texts are redacted and cut.",
        heads=FLIP_HEADS,
        rows=tuple(flip_row(flip) for flip in one.flips[:MOST_FLIPS]),
    )


def flips_title(one: Comparison, most: int) -> str:
    """How many cases changed, and how many of them are shown."""
    worse = sum(flip.second.score < flip.first.score for flip in one.flips)
    shown = f"; {most} are shown" if len(one.flips) > most else ""
    return f"Cases that changed: {worse} lower, {len(one.flips) - worse} higher{shown}"


def row_of(row: Difference) -> tuple[object, ...]:
    """One line of the table of differences."""
    bounds = (row.difference, row.lower, row.upper)
    return (row.suite, row.measure, row.slice or "", row.first, row.second, *map(signed, bounds), row.n, row.method)


def signed(value: float | None) -> str:
    """A difference with its sign."""
    if value is None:
        return "–"
    return f"{value:+.3f}" if abs(value) < 10 else f"{value:+,.0f}"


def spent_row(row: SpentBoth) -> tuple[str, ...]:
    """One line of the table of what answers took."""
    difference = "–" if row.difference is None else f"{row.difference:+.3g}"
    return (row.suite, row.figure, shown(row.figure, row.first), shown(row.figure, row.second), difference, row.why)


def flip_row(flip: Flip) -> tuple[str, ...]:
    """One line of the table of flips."""
    shown = (flip.text or "–", flip.expected or "–", side_text(flip.first), side_text(flip.second))
    return (flip.suite, flip.item[:12], *shown)


def side_text(side: Side) -> str:
    """The score of one side, and what it answered where that is a label."""
    said = f"no answer: {side.error}" if side.error else side.answer
    return f"{side.score:.3g}" + (f" ({said})" if said else "")
