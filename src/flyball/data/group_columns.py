"""Which column names the person a row is about, or rows that belong together, for `flyball init --from`. Pure.

Every column whose name has a word of one and that is not taken gets its reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flyball.data.column_profiles import Column, name_weight, ranked_columns, runner_up

PERSON = {
    **dict.fromkeys(("customer", "user", "patient", "client", "member", "subject", "person", "employee"), 4.0),
    **dict.fromkeys(("account", "author", "sender", "username", "student", "buyer", "caller", "owner"), 3.0),
    **dict.fromkeys(("email", "mail", "contact", "speaker", "worker", "writer", "reviewer", "annotator", "who"), 2.0),
}
ATTRIBUTE = frozenset(
    (
        *("country", "age", "gender", "sex", "city", "state", "type", "segment", "tier", "language", "lang", "locale"),
        *("since", "count", "score", "rating", "status", "agent", "zip", "region", "plan", "role", "level", "time"),
        *("date", "timezone", "group", "verified", "followers", "location", "balance", "total", "satisfaction"),
    )
)
"""What is said about a person, and names none."""
GROUP = frozenset(
    ("conversation", "thread", "session", "dialog", "dialogue", "group", "case", "ticket", "chat", "family")
)
WEAK_GROUP = frozenset(("template", "templ", "pair", "batch", "cluster"))
"""Rows that were made together, where each such group is small."""
NO_GROUP = frozenset(("bucket", "age", "blood", "ethnic", "control"))
IDENTIFIER = frozenset(("id", "ids", "no", "number", "num", "key", "uuid", "guid", "hash", "code", "uid", "name"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldGuess:
    """A column for one role of `fields`, and why."""

    role: str
    column: str
    explanation: str


def person_column(columns: Sequence[Column], role: str, taken: set[str], notes: list[str]) -> FieldGuess | None:
    """The column for a role, `subject` or `group`; the notes say why the others with such a name are none."""
    most = max((column.filled for column in columns), default=1)
    reasons = {
        column.name: why_not(column, role)
        for column in columns
        if column.name not in taken and name_score(column, role, most)
    }
    able = [column for column in columns if reasons.get(column.name) == ""]
    ranked = ranked_columns(able, lambda column: name_score(column, role, most))
    notes += [f"{name} is no {role}: {why}" for name, why in reasons.items() if why]
    notes += [f"{column.name} is not the {role}: {ranked[0].name} is" for column in ranked[1:]]
    if not ranked:
        return None
    column = ranked[0]
    what = "the person a row is about" if role == "subject" else "rows that belong together"
    why = f"its name says {what}; {column.distinct} values in {column.filled} rows{runner_up(ranked)}"
    return FieldGuess(role=role, column=column.name, explanation=why)


def name_score(column: Column, role: str, most: int) -> float:
    """How much the name says the role; 0 where it has none of its words."""
    if role == "group":
        weak = 0.4 if column.parts & WEAK_GROUP else 0.0
        wanted = 1.0 if column.parts & GROUP else weak
        return wanted * (2.0 if column.parts & IDENTIFIER else 1.0) * (column.filled / most) ** 2
    weight = name_weight(column, PERSON)
    alone = len(column.parts) == 1
    return weight * (2.0 if column.parts & IDENTIFIER - {"name"} else 1.0 if alone else 0.5) if weight else 0.0


def why_not(column: Column, role: str) -> str:
    """Why a column is not taken for a role that its name says; empty where it may be."""
    about = column.parts & (ATTRIBUTE - {"group"})
    if role == "group":
        about |= column.parts & (NO_GROUP | {"label", "name", "size", "count"})
    if about:
        return f"{', '.join(sorted(about))} in its name says something about one"
    if column.words >= 4:
        return f"it holds texts, {column.words:.0f} words on average"
    weak = role == "group" and not column.parts & GROUP and not (column.distinct >= 20 and column.repeats <= 50)
    few = role == "subject" and column.distinct < min(10, column.filled / 10)
    alone = role == "group" and column.repeats < 1.05
    if weak or few or alone or column.distinct <= 1 or column.largest > 0.5:
        return f"{column.distinct} values in {column.filled} rows, the commonest in {column.largest:.0%}"
    return ""
