"""Rules about a whole source or dataset; a broken one stops the stage and says which rows or labels broke it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from flyball.data.config import Fields, SourceConfig, ValidateConfig
from flyball.data.preparing import PRODUCTION
from flyball.data.readers.raw_row import RawRow
from flyball.errors import InputError, nearest

FIELDS_SHOWN = 20


@dataclass(slots=True, kw_only=True)
class SourceTally:
    """What was seen of one source while it was read."""

    name: str
    digests: list[bytes] = field(default_factory=list)
    readable: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    first_problem: str = ""

    def see(self, raw: RawRow) -> None:
        """Count one row."""
        self.digests.append(raw.digest)
        if raw.fields is None:
            self.first_problem = self.first_problem or f"line {raw.line} is {raw.problem}: {raw.detail}"
            return
        self.readable += 1
        if len(self.fields) < 1000:
            self.fields.update(str(name) for name in raw.fields)


def check_source(tally: SourceTally, config: SourceConfig) -> None:
    """Whether a source holds rows at all, and the fields that flyball.yaml names."""
    if tally.name.startswith(PRODUCTION):
        return
    if not tally.digests:
        raise InputError(f"{config.path} has no rows", cure="check the file; `flyball data` needs at least one row")
    if not tally.readable:
        raise InputError(
            f"{config.path}: none of {len(tally.digests)} rows could be read; {tally.first_problem}",
            cure=f"JSONL has one JSON object a line, in UTF-8; of an array: jq -c '.[]' {config.path} > rows.jsonl",
        )
    seen = [name for name, _ in tally.fields.most_common(FIELDS_SHOWN)]
    for role, name in mapped(config.fields).items():
        if name not in tally.fields:
            close = nearest(name, seen)
            raise InputError(
                f"{config.path}: no row has the field {name!r}; fields seen: {', '.join(seen) or 'none'}",
                cure=f"set data.sources[].fields.{role} to {close or 'one of them'}, or to null if it is optional",
            )


def mapped(fields: Fields) -> dict[str, str]:
    """The roles that have a column in this source."""
    roles = {role: getattr(fields, role) for role in Fields.__struct_fields__}
    return {role: name for role, name in roles.items() if name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is left after all steps: kept rows by side and by label, and dropped rows by reason."""

    rows_in: int
    kept: Mapping[str, int]
    labels: Mapping[str, int]
    dropped: Mapping[str, int]


def check_outcome(
    outcome: Outcome, config: ValidateConfig, *, task: str, wants_test: bool, wants_train: bool = True
) -> None:
    """The rules of `data.validate`; InputError at the first that is broken."""
    kept = sum(outcome.kept.values())
    why = f"; dropped: {reasons_of(outcome.dropped)}" if outcome.dropped else ""
    lost = sum(count for reason, count in outcome.dropped.items() if reason != "erased")
    if outcome.rows_in and lost / outcome.rows_in > config.max_dropped:
        raise InputError(
            f"{lost} of {outcome.rows_in} rows were dropped, more than data.validate.max_dropped allows"
            f" ({config.max_dropped:g}): {reasons_of(outcome.dropped)}",
            cure="mend the sources, or raise data.validate.max_dropped",
        )
    if kept < config.min_rows:
        raise InputError(
            f"{kept} rows are left, fewer than data.validate.min_rows ({config.min_rows}){why}",
            cure="add rows, or lower data.validate.min_rows",
        )
    if task == "classification":
        _check_labels(outcome.labels, config)
    for side in (*(["train"] if wants_train else []), *(["test"] if wants_test else [])):
        if not outcome.kept.get(side):
            raise InputError(
                f"the {side} side has no rows ({kept} in all)", cure="add rows or groups, or change data.split"
            )


def _check_labels(labels: Mapping[str, int], config: ValidateConfig) -> None:
    if len(labels) < 2:
        raise InputError(
            f"there is only one class: {', '.join(labels) or 'none'}",
            cure="check data.sources[].fields.label, or use task: chat for free answers",
        )
    rare = sorted(label for label, rows in labels.items() if rows < config.min_rows_per_label)
    if rare:
        shown = ", ".join(f"{label} ({labels[label]})" for label in rare[:FIELDS_SHOWN])
        raise InputError(
            f"{len(rare)} labels have fewer rows than data.validate.min_rows_per_label"
            f" ({config.min_rows_per_label}): {shown}",
            cure="add rows for them, leave them out, or lower data.validate.min_rows_per_label",
        )


def reasons_of(dropped: Mapping[str, int]) -> str:
    """Reasons with their counts, the commonest first."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(dropped.items(), key=lambda item: -item[1]))
