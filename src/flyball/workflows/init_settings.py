"""The first flyball.yaml of a project, by the shape of its rows and by whether there is a model. Pure.

Labels and JSON objects are learned from the rows alone. Free answers are not: no model learns to talk from a few
thousand rows, so they need one that can, and the rows become the suite that it has to pass.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from flyball.engines.catalog import DEFAULT, SERVER
from flyball.statistics.multiplicity import spent_share

Shape = Literal["labels", "objects", "answers", "questions"]
MOST_CASES = 50
MOST_CONTEXT = 4096
MOST_LABELS_TOLD = 100
ALPHA = 0.05
LAST_ALPHA = ALPHA * spent_share(5)
"""Thresholds are set so that the fifth candidate on the same rows can still prove them."""
LABEL_FLOOR = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What is known of the rows: where they are, their shape, their columns by role (column, why), and remarks.

    `columns` names those of a delimited file whose first line does not.
    `labels` counts each label; `count` is how many rows there are, as far as they were looked at.
    """

    path: str
    shape: Shape
    fields: Mapping[str, tuple[str, str]]
    comments: Sequence[str] = ()
    labels: Mapping[str, int]
    count: int
    columns: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectShape:
    """A model that exists: its path, or its server's URL with the name and the key there."""

    source: str
    is_url: bool
    context: int = 0
    model_name: str | None = None
    api_key: str | None = None


TEMPLATE = """\
# The whole loop of this project. Every key: `flyball schema`. Editors can check it against that schema.
version: 1
project: {project}           # also the route: the `model` that clients name
task: {task}

data:
  sources:
    - path: {path}
      fields:
{fields}
  redact: {{profile: default}}    # e-mail, phone, card, … become <TYPE>; the release does the same to what users send
  dedupe: {{near: 0.8}}           # Jaccard similarity of word 3-grams
  split: {split}

train:
{train}

package: {{quantization: q8_0}}

release:
  system_prompt: {system_prompt}
  sampling: {{temperature: 0.0, max_tokens: {max_tokens}}}
  engine: {engine}

evaluate:
{evaluate}

gate:                           # a release ships only when every bound holds
  alpha: {alpha}
  rules:
{rules}

rollout: {{strategy: canary, canary_steps: [0.2, 0.5]}}
"""
_SCRATCH = (
    "  method: scratch               # scratch | finetune | lora (both: base: FOLDER) | linear | command | none\n"
    "  steps: 400"
)
_ROWS_TO_LEARN = "{validation: 0.05, test: 0.15}   # by hash of the group: a row's side never changes as data grows"
_ROWS_TO_ASK = "{validation: 0.0, test: 1.0}     # nothing is trained: all rows are cases that a release has to pass"


def settings_text(name: str, rows: Rows, model: ProjectShape | None) -> str:
    """flyball.yaml for these rows, around `model` where there is one."""
    free = rows.shape != "labels"
    text = TEMPLATE.format(
        project=project_name(name),
        path=quoted(rows.path) + _columns(rows),
        task="chat" if free else "classification",
        fields="\n".join(_fields(rows)),
        split=_ROWS_TO_ASK if model else _ROWS_TO_LEARN,
        train=_train(model) if model else _SCRATCH,
        system_prompt=_system_prompt(rows) if model else "null",
        max_tokens=128 if free else 32,
        engine=_engine(model) if model else f"{{kind: {DEFAULT.name}, slots: 4, threads: 1}}",
        evaluate=_evaluate(rows, model),
        alpha=ALPHA,
        rules="\n".join(f"    - {rule}" for rule in _rules(rows, model)),
    )
    return "".join(f"# {comment}\n" for comment in rows.comments) + text


def project_name(folder: str) -> str:
    """A folder's name as a project's."""
    return re.sub(r"[^a-z0-9._-]+", "-", folder.lower()).strip("-._") or "project"


def quoted(value: str) -> str:
    """A YAML scalar, quoted where it must be."""
    if any(ord(character) < 32 for character in value):
        return json.dumps(value, ensure_ascii=False)
    plain = re.fullmatch(r"[A-Za-z_./][\w./-]*", value) and value.lower() not in ("yes", "no", "null", "true", "false")
    return value if plain else "'" + value.replace("'", "''") + "'"


def _columns(rows: Rows) -> str:
    return (
        f"\n      columns: [{', '.join(map(quoted, rows.columns))}]   # no line has their names" if rows.columns else ""
    )


def _fields(rows: Rows) -> list[str]:
    lines = [
        f"        {role}: {quoted(name)}" + (f"   # {why}" if why else "") for role, (name, why) in rows.fields.items()
    ]
    if "label" in rows.fields:
        return lines
    answered = "messages" in rows.fields and rows.shape != "questions"
    why = "the last turn of the assistant is the answer" if answered else "no answers: the questions are only asked"
    return [*lines, f"        label: null   # {why}"]


def _train(model: ProjectShape) -> str:
    if model.is_url:
        return "  method: none                  # the model is the one of the server under release.engine"
    return f"  method: none                  # the model is taken as it is\n  base: {quoted(model.source)}"


def _engine(model: ProjectShape) -> str:
    if not model.is_url:
        context = min(model.context, MOST_CONTEXT)
        return f"{{kind: {DEFAULT.name}, slots: 4, threads: 1, context: {context}}}   # it reads {model.context} tokens"
    key = f", api_key: {quoted(model.api_key)}" if model.api_key else ""
    return f"{{kind: {SERVER.name}, url: {quoted(model.source)}, model: {quoted(model.model_name or '')}{key}}}"


def _system_prompt(rows: Rows) -> str:
    if rows.shape != "labels" or len(rows.labels) > MOST_LABELS_TOLD:
        return "null"
    return quoted(
        "Answer with the one label that fits the message, and nothing else: " + ", ".join(sorted(rows.labels))
    )


def _evaluate(rows: Rows, model: ProjectShape | None) -> str:
    suites = "  suites: [test, invariance]" if rows.shape == "labels" else "  suites: [test]"
    return f"{suites}\n  max_items: {MOST_CASES}               # a seeded sample; null: all rows" if model else suites


def _rules(rows: Rows, model: ProjectShape | None) -> list[str]:
    """What a first release has to show, and that a later one is not worse."""
    if rows.shape == "labels":
        floor, why = LABEL_FLOOR, "   # the share of right answers has to be proven above this; raise it to your need"
        if model or commonest_share(rows) > LABEL_FLOOR:
            floor = commonest_share(rows) if model else min(commonest_share(rows), provable_share(rows.count))
            why = "   # better than always giving the commonest label"
        return [
            f"{{measure: exact_match, at_least: {floor}}}{why}",
            "{measure: exact_match, not_worse_than_live: 0.03}",
        ]
    if rows.shape == "objects":
        return [
            "{measure: exact_fields, at_least: 0.5}   # the share of an object's fields that are exactly right",
            "{measure: exact_fields, not_worse_than_live: 0.03}",
        ]
    answered = f"{{measure: answered, at_least: {answered_floor(rows.count)}}}   # an answer came, and is not empty"
    if rows.shape == "questions":
        return [answered, f"{{measure: answered, not_worse_than_live: {answered_margin(rows.count)}}}"]
    return [
        answered,
        "{measure: chrf, at_least: 0.1}   # nearness to the expected answers; raise it to what your model shows",
        f"{{measure: chrf, not_worse_than_live: {chrf_margin(rows.count)}}}   # more cases can prove a smaller margin",
    ]


def commonest_share(rows: Rows) -> float:
    """The share of the rows that have the commonest label: what a model is worth that always gives it."""
    return round(max(rows.labels.values()) / sum(rows.labels.values()), 2) if rows.labels else 0.5


def provable_share(count: int) -> float:
    """What 15 % of so many rows can prove when all answers are right; never under the usual floor."""
    return max(LABEL_FLOOR, math.floor(100.0 * math.pow(LAST_ALPHA, 1 / max(1.0, 0.15 * count))) / 100)


def cases_of(count: int) -> int:
    """About how many cases a suite of so many rows has: duplicates among them are dropped."""
    return max(1, min(count, MOST_CASES) * 3 // 4)


def answered_margin(count: int) -> float:
    """The smallest margin that a candidate which answers whatever live answers can prove on so few cases."""
    return max(0.05, math.ceil(100.0 * (1.0 - math.pow(LAST_ALPHA, 1 / cases_of(count)))) / 100)


def chrf_margin(count: int) -> float:
    """A margin that about as good a candidate can prove: 2.5 standard errors where scores differ by .2."""
    return max(0.03, math.ceil(100.0 * 0.5 / math.sqrt(cases_of(count))) / 100)


def answered_floor(count: int) -> float:
    """A share that so few cases can prove when all are answered: alpha^(1/n) is the bound of n out of n, at most .9."""
    return min(0.9, math.floor(100.0 * math.pow(LAST_ALPHA, 1 / cases_of(count))) / 100)
