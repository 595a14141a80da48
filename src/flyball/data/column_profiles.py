"""What is seen of a file's columns: how full, how long, how varied, and the words of their names. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flyball.data.columns import value_of
from flyball.data.conversations import NotTurns, turns_of
from flyball.data.row_preparation import as_text

MOST_CELLS = 2_000_000
"""Cells looked at: of a file with thousands of columns, fewer rows."""
FEWEST_ROWS = 100
DEEPEST = 8
"""Objects and lists inside each other that are looked into; what Label Studio exports needs six."""
MOST_TEXT = 2000
"""Characters looked at of one value."""
_NAME_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_a-zA-Z]+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Scripts without blanks between words, or with few: Thai, Lao, Burmese, Khmer, Japanese, Chinese, Korean."""
_PLAIN_VALUE = re.compile(r"[\d\s.,:/+TZ-]*|[0-9a-fA-F-]{16,}")
"""Numbers, dates and hashes: no text, however many words they seem to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What was seen of one column in the first rows; `words` counts two characters of a script without blanks as one.

    `largest` is the share of its commonest value among the filled ones, `turns` of those that are conversations,
    `plain` of numbers, dates and addresses.
    """

    name: str
    filled: int
    texts: int
    distinct: int
    length: float
    words: float
    largest: float
    plain: float
    turns: float
    values: tuple[str, ...] = ()

    @property
    def parts(self) -> frozenset[str]:
        """The words of its name, in lower case."""
        return name_words(self.name)

    @property
    def repeats(self) -> float:
        """How many rows share a value, on average."""
        return self.filled / max(1, self.distinct)


def name_words(name: str) -> frozenset[str]:
    """The words in a column's name: of customerID, customer_id and `Customer Id`, customer and id."""
    return frozenset(part.casefold() for part in _NAME_PARTS.findall(name))


def word_count(text: str) -> float:
    """Words between blanks; of scripts without blanks, half the characters."""
    return max(len(text.split()), len(_UNSPACED.findall(text)) / 2)


def names_in(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """All columns, the commonest first."""
    return [name for name, _ in Counter(str(name) for row in rows for name in row).most_common()]


def kind_of_column(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """The commonest JSON type in a column."""
    kinds = Counter(type(row[name]).__name__ for row in rows if name in row)
    common = kinds.most_common(1)[0][0]
    return {"str": "text", "NoneType": "null", "dict": "object"}.get(common, common)


def ranked_columns(columns: Sequence[Column], score: Callable[[Column], float]) -> list[Column]:
    """Columns with a positive score, the best first; of equals the first in the file."""
    scored = [(score(column), column) for column in columns]
    return [column for value, column in sorted(scored, key=lambda pair: -pair[0]) if value > 0]


def name_weight(column: Column, words: Mapping[str, float]) -> float:
    singular = (part if part in words else part.removesuffix("s") for part in column.parts)
    found = [words[part] for part in singular if part in words]
    return max(found, default=0.0)


def runner_up(ranked: Sequence[Column]) -> str:
    return f"; next: {ranked[1].name}" if len(ranked) > 1 else ""


def has_several(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether a column holds a list of more than one plain value in some row."""
    values = (row.get(name) for row in rows[:MOST_TEXT])
    return any(isinstance(one, list) and len(one) > 1 and not isinstance(one[0], list | dict) for one in values)


def profile_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Every column that holds texts, numbers or conversations."""
    names = names_in(rows[:FEWEST_ROWS]) if rows and len(rows[0]) > FEWEST_ROWS else names_in(rows)
    names += _inner_names(rows[:FEWEST_ROWS])
    seen = rows[: max(FEWEST_ROWS, MOST_CELLS // max(1, len(names)))]
    return [column for name in names if (column := _profile(seen, name)) is not None]


def _inner_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Paths to texts inside of objects, and of the first object of lists: `instances.0.output`.

    The one text of a list is at `labels.0`, unless a row has several there.
    """
    found: Counter[str] = Counter()
    several: set[str] = set()
    for row in rows:
        for name, value in row.items():
            if isinstance(value, list | Mapping):
                found.update(_paths(value, str(name), several, depth=0))
    return [name for name, times in found.most_common(FEWEST_ROWS) if times * 2 > len(rows) and name not in several]


def _paths(value: Any, path: str, several: set[str], *, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield path
    elif depth == DEEPEST or not value or not isinstance(value, list | Mapping) or _has_turns(value):
        return
    elif isinstance(value, list):
        if len(value) > 1 and not isinstance(value[0], Mapping):
            several.add(f"{path}.0")
        yield from _paths(value[0], f"{path}.0", several, depth=depth + 1)
    else:
        for key, one in value.items():
            yield from _paths(one, f"{path}.{key}", several, depth=depth + 1)


def _profile(rows: Sequence[Mapping[str, Any]], name: str) -> Column | None:
    raw = [value_of(row, name) for row in rows]
    values = [text.strip()[:MOST_TEXT] for value in raw if (text := as_text(value)) is not None and text.strip()]
    turns = sum(_has_turns(value) for value in raw[:FEWEST_ROWS])
    filled = sum(value not in (None, "", []) for value in raw)
    if not values and not turns:
        return None
    counted = Counter(values)
    count = max(1, len(values))
    return Column(
        name=name,
        filled=filled,
        texts=sum(isinstance(value, str) for value in raw),
        distinct=len(counted),
        length=sum(map(len, values)) / count,
        words=sum(map(word_count, values)) / count,
        largest=counted.most_common(1)[0][1] / count if counted else 1.0,
        plain=sum(map(_is_plain, values)) / count,
        turns=turns / max(1, sum(value not in (None, "", []) for value in raw[:FEWEST_ROWS])),
        values=tuple(counted) if len(counted) <= 20 else (),
    )


def _is_plain(value: str) -> bool:
    """Whether a value is a number, a date, a hash or an address."""
    return _PLAIN_VALUE.fullmatch(value) is not None or ("://" in value and len(value.split(maxsplit=1)) == 1)


def _has_turns(value: Any) -> bool:
    """Whether a value is a conversation of at least one turn that says who speaks."""
    if isinstance(value, str) and not re.search(r"(?:Human|User)\s*:|^\s*\[\s*\{", value[:MOST_TEXT]):
        return False
    if not isinstance(value, str | list | dict) or (isinstance(value, list) and value and isinstance(value[0], str)):
        return False
    try:
        return bool(turns_of(value))
    except NotTurns:
        return False
