"""Names near one: what the caller may have meant, or what else the same person may be held under. I/O: the ledger.

Records know people by keyed hashes only, so a near name is either read from the sources, or made and looked up.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from sqlalchemy import and_, select

from flyball.security.keys import ProjectKey
from flyball.storage import tables
from flyball.storage.ledger import Ledger

SHOWN = 5
MOST_COMPARED = 20_000
"""difflib compares every name with every other: enough for a hint."""


def near_names(subject: str, known: Iterable[str]) -> list[str]:
    """Those of the known names that are nearest, the best first; at most five."""
    folded: dict[str, str] = {}
    for name in known:
        folded.setdefault(_folded(name), name)
    same = [folded[_folded(subject)]] if _folded(subject) in folded else []
    pool = list(folded)[:MOST_COMPARED]
    close = [folded[name] for name in get_close_matches(_folded(subject), pool, n=SHOWN, cutoff=0.75)]
    return list(dict.fromkeys([*same, *close]))[:SHOWN]


def same_otherwise_spelt(subject: str, known: Iterable[str]) -> list[str]:
    """Other names that differ in case, width, zeros, punctuation or what nobody sees; at most five."""
    folded = _folded(subject)
    return sorted({name for name in known if folded and name != subject and _folded(name) == folded})[:SHOWN]


def recorded_names(ledger: Ledger, project_key: ProjectKey, subject: str) -> set[str]:
    """Other spellings of a name under which requests are recorded."""
    column = tables.requests.c
    found = set()
    with ledger.read() as connection:
        for name in spelt_otherwise(subject):
            mine = and_(column.project == ledger.project, column.subject == project_key.hash("subject", name))
            if connection.execute(select(column.id).where(mine).limit(1)).first():
                found.add(name)
    return found


def spelt_otherwise(subject: str) -> Iterator[str]:
    """Other spellings of a name: case, zeros before a number, hyphens and underscores, a prefix before an id."""
    seen = {subject}
    for name in (
        subject.lower(),
        subject.upper(),
        subject.title(),
        subject.lstrip("0"),
        *(subject.zfill(width) for width in range(len(subject) + 1, 9) if subject.isdigit()),
        re.sub(r"0+(?=\d)", "", subject, count=1),
        subject.replace("-", "_"),
        subject.replace("_", "-"),
        re.split(r"[/:|]", subject)[-1],
        subject.strip("\"'<>()[]"),
    ):
        if name and name not in seen:
            seen.add(name)
            yield name


def _folded(name: str) -> str:
    """A name without case, width, punctuation, what nobody sees, and zeros before its number."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"[\W_]+", "", plain))
