"""Tables of AI Fairness 360: who was due what, and what they got: `aif360:FILE`. Nothing is asked.

A CSV or Parquet file as `BinaryLabelDataset.convert_to_dataframe` gives it (AIF360 0.6.1), with a column `prediction`
besides, and a JSON file of the same name with that class's arguments: which columns are the label, the protected
attributes and the weights, and which value is favourable. I/O: reads and writes both.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from flyball.errors import InputError, NotFoundError
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.suites.family import SuiteFamily
from flyball.evaluation.suites.files import rows_of
from flyball.evaluation.suites.suite import Item, MadeElsewhere, Suite
from flyball.inference.labels import label_text
from flyball.records import Message, ScoresFile
from flyball.statistics.group_gaps import FAVOURABLE
from flyball.whole_files import replace_file

ITEM: Final = "item"
LABEL: Final = "label"
PREDICTION: Final = "prediction"
WEIGHTS: Final = "instance_weights"
OTHER: Final = "other"
OURS: Final = (ITEM, LABEL, PREDICTION, WEIGHTS)
SHAPE: Final = (
    '{"label_names": ["label"], "protected_attribute_names": ["gender"], "favorable_label": 1.0, '
    '"unfavorable_label": 0.0}'
)


class Arguments(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The arguments of BinaryLabelDataset; metadata.protected_attribute_maps: code → name, attribute by attribute."""

    label_names: tuple[str]
    protected_attribute_names: tuple[str, ...]
    instance_weights_name: str | None = None
    favorable_label: float = 1.0
    unfavorable_label: float = 0.0
    metadata: dict[str, Any] = {}


def load(path: Path, name: str) -> Suite:
    """Every row as a case that was answered; without a column `prediction` the labels themselves are compared."""
    about = path.with_suffix(".json")
    if not about.is_file():
        raise NotFoundError(f"no arguments of the dataset {about}", cure=f"write it beside the table, such as {SHAPE}")
    try:
        arguments = msgspec.json.decode(about.read_bytes(), type=Arguments)
    except msgspec.MsgspecError as error:
        raise InputError(f"{about}: {error}", cure=f"write it such as {SHAPE}") from error
    items: dict[str, Item] = {}
    answers: dict[str, str] = {}
    rows = rows_of(path)
    knows = bool(rows) and PREDICTION in (rows[0].fields or {})
    for row in rows:
        fields = row.fields or {}
        try:
            case = label_text(fields.get(ITEM)) or str(row.line)
            sides = [side(fields, column, arguments) for column in (*arguments.label_names, *[PREDICTION] * knows)]
            groups, weight = dict(groups_in(fields, arguments)), weight_in(fields, arguments)
        except ValueError as error:
            raise InputError(f"{path}:{row.line}: {error}", cure=f"make the table and {about.name} fit") from error
        if case in items:
            raise InputError(f"{path}:{row.line}: two rows have the item {case!r}", cure="give each its own")
        items[case], answers[case] = item_of(case, sides[0] if knows else None, groups, weight, name), sides[-1]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    notes = [f"{name}: made elsewhere ({path.name}, SHA-256 {digest[:12]}), nothing asked."]
    if any(item.weight != 1.0 for item in items.values()):
        notes.append(f"{name}: the rows have weights, which AIF360 uses and measures of bias here do not.")
    for dimension in arguments.protected_attribute_names:
        if unknown := sum(dimension not in item.groups for item in items.values()):
            notes.append(f"{name}: {unknown} of {len(items)} rows have no {dimension} and are not compared by it")
    made = MadeElsewhere(
        about=ScoresFile(suite=name, file=path.name, sha256=digest), scores={}, missing={}, answers=answers
    )
    return Suite(name=name, kind="bias", items=tuple(items.values()), notes=tuple(notes), elsewhere=made)


def item_of(case: str, expected: str | None, groups: Mapping[str, str], weight: float, suite: str) -> Item:
    """A case that is not asked; its request keeps it apart from every real question."""
    return Item(
        id=case,
        messages=(Message(role="user", content=case),),
        request={"made_elsewhere": suite},
        expected=expected,
        groups=groups,
        weight=weight,
        data={"favourable": FAVOURABLE, "labels": [FAVOURABLE, OTHER]},
    )


def side(fields: Mapping[str, Any], column: str, arguments: Arguments) -> str:
    """Which side a label is on."""
    value = number(fields, column)
    if value not in (arguments.favorable_label, arguments.unfavorable_label):
        labels = f"{arguments.favorable_label:g} nor {arguments.unfavorable_label:g}"
        raise ValueError(f"{column} is {value:g}, neither {labels}")
    return FAVOURABLE if value == arguments.favorable_label else OTHER


def groups_in(fields: Mapping[str, Any], arguments: Arguments) -> Iterator[tuple[str, str]]:
    """Attribute → group, by its name where the metadata has one; an empty value is none."""
    maps = arguments.metadata.get("protected_attribute_maps") or []
    for at, name in enumerate(arguments.protected_attribute_names):
        if name not in fields:
            raise ValueError(f"the column {name} is missing")
        value = label_text(fields[name]) or ""
        names = {float(code): str(said) for code, said in maps[at].items()} if at < len(maps) else {}
        with suppress(ValueError):  # a name already
            value = names.get(float(value), value)
        if value:
            yield name, value


def weight_in(fields: Mapping[str, Any], arguments: Arguments) -> float:
    """How many people a row stands for."""
    return 1.0 if arguments.instance_weights_name is None else number(fields, arguments.instance_weights_name)


def number(fields: Mapping[str, Any], column: str) -> float:
    """A value as a number."""
    try:
        return float(fields[column])
    except KeyError:
        raise ValueError(f"the column {column} is missing") from None
    except (TypeError, ValueError):
        raise ValueError(f"{column} is {fields[column]!r}, not a number") from None


def write_table(path: Path, scores: Sequence[ItemScore]) -> int:
    """Write the cases of one suite of groups, and the JSON beside; how many. InputError where there are none.

    Groups are numbered in the order of their names, as AIF360 takes numbers alone. Without a known label the answers
    are the labels. A case without an answer did not get the favourable one, as in the measures of bias.
    """
    cases = [score for score in scores if score.measure == FAVOURABLE]
    if not cases:
        raise InputError("the report has no cases with groups", cure="name a report on this suite of groups")
    attributes = list(dict.fromkeys(name for case in cases for name in case.groups))
    if taken := next((name for name in attributes if name in OURS), None):
        raise InputError(f"a dimension is called {taken!r}, as a column of AIF360's", cure="rename it in the suite")
    codes = [
        {name: at for at, name in enumerate(sorted({case.groups.get(attribute, "") for case in cases}))}
        for attribute in attributes
    ]
    knows = all(case.expected is not None for case in cases)
    label = LABEL if knows else PREDICTION
    rows = [
        {
            ITEM: case.item,
            **{name: code[case.groups.get(name, "")] for name, code in zip(attributes, codes, strict=True)},
            **({LABEL: int(case.expected == FAVOURABLE)} if knows else {}),
            PREDICTION: int(case.answer == FAVOURABLE),
            WEIGHTS: case.weight,
        }
        for case in cases
    ]
    arguments = Arguments(
        label_names=(label,),
        protected_attribute_names=tuple(attributes),
        instance_weights_name=WEIGHTS,
        metadata={"protected_attribute_maps": [{str(at): name for name, at in code.items()} for code in codes]},
    )
    replace_file(path, as_parquet(rows) if path.suffix == ".parquet" else as_csv(rows), durable=True)
    replace_file(path.with_suffix(".json"), msgspec.json.format(msgspec.json.encode(arguments)) + b"\n", durable=True)
    return len(rows)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows under their columns."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as a Parquet file."""
    try:
        import pyarrow as pa  # heavy, and in the `build` extra
        import pyarrow.parquet as pq
    except ImportError as error:
        raise InputError("pyarrow is not installed", cure='pip install "flyball[build]", or write .csv') from error
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink)
    return sink.getvalue()


FAMILY = SuiteFamily(
    name="aif360",
    kind="bias",
    load=load,
    about="Answers that AI Fairness 360 holds: a table of labels, predictions and protected attributes.",
)
