"""Rules about a whole source or dataset; a broken one stops the stage and says which rows or labels broke it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from flyball.data.columns import columns_in, value_of
from flyball.data.config import DataConfig, Fields, SourceConfig
from flyball.data.label_rules import check_labels, check_trained, doubts, untested
from flyball.data.readers.raw_row import RawRow
from flyball.data.row_preparation import PRODUCTION
from flyball.data.rows import Reject
from flyball.errors import InputError, nearest
from flyball.records.identifiers import canonical_identifier, is_rounded

FIELDS_SHOWN = 20
EARLY_ROWS = 200_000
"""After so many rows of which too many were dropped, a source is not read to its end."""


@dataclass(slots=True, kw_only=True)
class SourceTally:
    """What was seen of one source while it was read."""

    name: str
    digests: bytearray = field(default_factory=bytearray)
    """Of its rows, one after another."""
    rows: int = 0
    readable: int = 0
    dropped: int = 0
    """Before duplicates are looked for; without those of erased people."""
    fields: Counter[str] = field(default_factory=Counter)
    first_problem: str = ""
    people: Mapping[str, str] = field(default_factory=dict)
    """Columns of subject and group, by role."""
    named: Counter[str] = field(default_factory=Counter)
    """Rows that name a subject, a group."""
    rounded: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By column of identifiers: the first value that a spreadsheet has rounded, and how many of them there are."""
    identifiers: Collection[str] = ()
    """Columns of subject, group and the row's own key."""

    def see(self, raw: RawRow) -> None:
        """Count one row."""
        self.digests += raw.digest
        self.rows += 1
        if raw.fields is None:
            self.first_problem = self.first_problem or f"line {raw.line} is {raw.problem}: {raw.detail}"
            return
        self.readable += 1
        if len(self.fields) < 1000:
            self.fields.update(str(name) for name in raw.fields)
        for role, column in self.people.items():
            self.named[role] += names_somebody(value_of(raw.fields, column))
        for column in self.identifiers:
            if is_rounded(value := value_of(raw.fields, column)):
                first, times = self.rounded.get(column, (f"{value} in line {raw.line}", 0))
                self.rounded[column] = (first, times + 1)

    def drop(self, reject: Reject) -> None:
        """Count one row that is not kept."""
        self.dropped += reject.reason != "erased"
        self.first_problem = self.first_problem or f"line {reject.line} is {reject.reason}: {reject.detail}"


def check_source(tally: SourceTally, config: SourceConfig) -> None:
    """Whether a source holds rows at all, and the fields that flyball.yaml names."""
    if tally.name.startswith(PRODUCTION):
        return
    if not tally.rows:
        raise InputError(f"{config.path} has no rows", cure="check the file; `flyball data` needs at least one row")
    if not tally.readable:
        raise InputError(
            f"{config.path}: none of {tally.rows} rows could be read; {tally.first_problem}",
            cure=f"JSONL has one JSON object a line, in UTF-8; of an array: jq -c '.[]' {config.path} > rows.jsonl",
        )
    seen = [name for name, _ in tally.fields.most_common(FIELDS_SHOWN)]
    for role, name in mapped(config.fields).items():
        if name not in tally.fields and not any(one.split(".")[0] in tally.fields for one in columns_in(name)):
            close = nearest(name, seen)
            raise InputError(
                f"{config.path}: no row has the field {name!r}; fields seen: {', '.join(seen) or 'none'}",
                cure=f"set data.sources[].fields.{role} to {close or 'one of them'}, or to null if it is optional",
            )

    for role, column in tally.people.items():
        if not tally.named[role]:
            raise InputError(
                f"{config.path}: {column}, mapped as {role}, is empty in all of {tally.readable} rows",
                cure=f"set data.sources[].fields.{role} to a column that has values, or to null",
            )

    for role, column in tally.people.items():
        if column in tally.rounded:
            raise InputError(f"{config.path}: {column}, mapped as {role}, {rounding(tally, column)}", cure=UNROUNDED)


UNROUNDED = "write the file again with that column as text, as its numbers are lost; or map another column, or null"


def rounding(tally: SourceTally, column: str) -> str:
    """What a spreadsheet did to a column of identifiers."""
    first, times = tally.rounded[column]
    return (
        f"holds long numbers that a spreadsheet has rounded in {times:,} of {tally.rows:,} rows, such as {first}: "
        "one stands for many"
    )


def doubts_of_sources(tallies: Iterable[SourceTally]) -> Iterator[str]:
    """What is likely wrong with single sources: one sentence each."""
    for tally in tallies:
        for column in tally.rounded:
            yield f"{tally.name}: {column} {rounding(tally, column)}; {UNROUNDED}"


def check_bounds(tally: SourceTally, config: SourceConfig, data: DataConfig) -> None:
    """Whether a source that is being read may be read on; asked now and then, so that no file takes hours to refuse."""
    if tally.rows > data.max_rows:
        raise InputError(
            f"{config.path} has more rows than data.max_rows ({data.max_rows:,})",
            cure="split the file or take a sample of it; or raise data.max_rows, which costs memory",
        )
    if tally.rows >= EARLY_ROWS and tally.dropped > data.validate.max_dropped * tally.rows:
        check_source(tally, config)
        raise InputError(
            f"{config.path}: {tally.dropped:,} of its first {tally.rows:,} rows were dropped, more than"
            f" data.validate.max_dropped allows ({data.validate.max_dropped:g}); {tally.first_problem}",
            cure="fix the source, or raise data.validate.max_dropped to have it read to its end",
        )


def names_somebody(value: object) -> bool:
    """Whether a value is an identifier at all."""
    try:
        return canonical_identifier(value) is not None
    except InputError:
        return True  # a wrong one, which is rejected with its row


def mapped(fields: Fields) -> dict[str, str]:
    """The roles that have a column in this source."""
    roles = {role: getattr(fields, role) for role in Fields.__struct_fields__}
    if fields.messages:  # in place of the text; and the answer is their last turn, unless a label says otherwise
        roles["text"] = None
        roles["label"] = fields.label if fields.label != Fields().label else None
    return {role: name for role, name in roles.items() if name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is left after all steps: kept rows by side, labels by side, dropped rows by reason, and how rows group."""

    rows_in: int
    kept: Mapping[str, int]
    labels: Mapping[str, Mapping[str, int]]
    dropped: Mapping[str, int]
    groups: int
    largest_group: int

    @property
    def total(self) -> int:
        """Rows on all sides."""
        return sum(self.kept.values())

    @property
    def label_rows(self) -> Counter[str]:
        """Rows of each label on all sides."""
        return sum((Counter(labels) for labels in self.labels.values()), Counter())

    @property
    def grouping(self) -> str:
        """How rows are grouped, where that decides sides."""
        return f"the {self.total} rows form {self.groups} groups, the largest of {self.largest_group} rows"


def check_outcome(
    outcome: Outcome, config: DataConfig, *, task: str, wants_test: bool, wants_train: bool = True
) -> None:
    """The rules of `data.validate`; InputError at the first that is broken."""
    rules = config.validate
    why = f"; dropped: {reasons_of(outcome.dropped)}" if outcome.dropped else ""
    lost = sum(count for reason, count in outcome.dropped.items() if reason != "erased")
    if outcome.rows_in and lost / outcome.rows_in > rules.max_dropped:
        raise InputError(
            f"{lost} of {outcome.rows_in} rows were dropped, more than data.validate.max_dropped allows"
            f" ({rules.max_dropped:g}): {reasons_of(outcome.dropped)}",
            cure="fix the sources, or raise data.validate.max_dropped",
        )
    if outcome.total < rules.min_rows:
        raise InputError(
            f"{outcome.total} rows are left, fewer than data.validate.min_rows ({rules.min_rows}){why}",
            cure="add rows, or lower data.validate.min_rows",
        )
    if task == "classification":
        check_labels(outcome.label_rows, rules)
    for side in (*(["train"] if wants_train else []), *(["test"] if wants_test else [])):
        if not outcome.kept.get(side):
            raise InputError(f"the {side} side has no rows: {outcome.grouping}", cure=regroup(config))
    if task == "classification" and wants_train:
        check_trained(outcome.labels)


def regroup(config: DataConfig) -> str:
    """What to do when groups are too few or too large to be put on sides."""
    columns = sorted({name for source in config.sources if (name := source.fields.group or source.fields.subject)})
    if not columns:
        return "add rows, or change data.split"
    names = " or ".join(columns)
    return f"rows with one {names} stay on one side: take another column as data.sources[].fields.group, or add rows"


def doubts_of(outcome: Outcome, config: DataConfig, *, task: str, wants_test: bool) -> Iterator[str]:
    """What is likely wrong, though no rule forbids it: one sentence each."""
    if task == "classification":
        yield from doubts(outcome.label_rows)
        if wants_test:
            yield from untested(outcome.labels)
    share = outcome.kept.get("test", 0) / outcome.total
    declared = any(source.split for source in config.sources)
    wanted = config.split.test
    uneven = outcome.largest_group > max(1, wanted * outcome.total / 5)
    if wanted and not declared and uneven and not wanted / 2 <= share <= 2 * wanted:
        yield (
            f"{share:.0%} of the rows are on the test side, where data.split.test asks for {wanted:.0%}: "
            f"{outcome.grouping}; {regroup(config)}"
        )


def reasons_of(dropped: Mapping[str, int]) -> str:
    """Reasons with their counts, the commonest first."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items(), key=lambda item: -item[1]))
