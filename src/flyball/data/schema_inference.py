"""What a file of rows is about, for `flyball init --from`: task, fields and splits, explained. I/O: reads the file.

Names are taken word by word, so that `context` is no text and `customer_id` a customer; what a column holds decides
whether its name may be believed. Every guess says why, and what came next.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from flyball.data.column_profiles import (
    Column,
    has_several,
    kind_of_column,
    name_weight,
    name_words,
    names_in,
    profile_columns,
    ranked_columns,
    runner_up,
    word_count,
)
from flyball.data.config import SourceConfig
from flyball.data.group_columns import ATTRIBUTE, GROUP, IDENTIFIER, PERSON, FieldGuess, person_column
from flyball.data.input_templates import pair_of, templated
from flyball.data.readers.layout import Layout
from flyball.data.readers.raw_row import RawRow
from flyball.data.readers.source_rows import look, read_source
from flyball.data.source_remarks import dirt_line, headless, layout_line, turned, why_nothing
from flyball.data.splits import side_named
from flyball.errors import InputError

ROWS = 20_000
ROWS_CHARACTERS = 32_000_000
MOST_LABELS = 500
LABEL_LENGTH = 60
SHOWN = 20
TEXT = {
    **dict.fromkeys(("text", "utterance", "message", "question", "instruction", "prompt", "文本", "内容", "问题"), 4.0),
    **dict.fromkeys(("query", "input", "sentence", "review", "tweet", "comment", "body", "narrative"), 3.0),
    **dict.fromkeys(("content", "document", "complaint", "post", "description", "transcript", "email", "sms"), 3.0),
    **dict.fromkeys(("title", "headline", "premise", "article", "context", "passage", "summary"), 1.5),
}
ASKED = frozenset(("instruction", "prompt", "question", "query", "input", "utterance", "user"))
ANSWER = {
    **dict.fromkeys(("answer", "response", "completion", "output", "reply", "chosen", "ideal"), 4.0),
    **dict.fromkeys(("target", "summary", "translation", "highlights", "label", "答案", "回答"), 2.0),
}
BESIDES = frozenset(("rejected", "worse", "incorrect", "wrong", "negative"))
"""Answers that are not to be learned."""
LABEL = {
    **dict.fromkeys(("label", "labels", "intent", "标签"), 12.0),
    **dict.fromkeys(("category", "class", "sentiment", "target", "topic", "polarity", "emotion", "choice"), 10.0),
    **dict.fromkeys(("tag", "product", "department", "queue", "rating", "stars", "issue"), 6.0),
    **dict.fromkeys(("type", "priority", "answer", "output", "score", "response", "completion"), 4.0),
}
LISTED = frozenset(("label", "labels", "class", "classes", "category", "categories", "tag", "tags", "topics"))
SIDES = frozenset(("split", "set", "partition", "subset", "fold"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What flyball.yaml should say; `explanations` are one line each, for people.

    `columns` are the names of a delimited file that has none; `answered` says whether rows have answers; `sides` what
    becomes of rows that are learned from.
    """

    task: str
    fields: tuple[FieldGuess, ...]
    explanations: tuple[str, ...]
    columns: tuple[str, ...] = ()
    answered: bool = True
    sides: tuple[str, ...] = ()


def guess(path: Path, *, text: str | None = None, label: str | None = None) -> Guess:
    """The guess from the first rows of `path`; InputError names the fields seen when none can be the text.

    `text` and `label` are columns that the user names.
    """
    layout, _ = look(path)
    config = headless(path, layout)
    raws = first_rows(path, config)
    rows = [raw.fields for raw in raws if raw.fields]
    if not rows:
        raise InputError(f"{path}: {why_nothing(raws)}", cure=_cure(layout, raws))
    if columns_seen := turned(rows):
        raise InputError(
            f"{path} holds one object of {columns_seen} columns, as pandas' to_json() writes it, and no rows",
            cure="write rows: df.to_json(PATH, orient='records', lines=True)",
        )
    columns = profile_columns(rows)
    notes = [layout_line(layout, config), *dirt_line(raws)]
    given = _given(path, columns, text, label)
    conversation = None if given else _conversation(columns)
    found = conversation or _single(path, columns, rows, given)
    found = replace(found, fields=(*found.fields, *_rejected(columns, found)))
    taken = {column for field in found.fields for column in (*re.findall(r"\{(.+?)\}", field.column), field.column)}
    people = [one for role in ("subject", "group") if (one := person_column(columns, role, taken, notes))]
    taken |= {one.column for one in people}
    sides = _sides(columns, taken)
    identifier = _identifier(columns, taken, len(rows))
    fields = (*found.fields, *people, *((sides,) if sides else ()), *((identifier,) if identifier else ()))
    return replace(
        found,
        fields=fields,
        columns=config.columns or () if config else (),
        explanations=(*found.explanations, *notes),
        sides=(_split_line(path, people, sides), *_side_warning(columns, people)),
    )


def first_rows(path: Path, config: SourceConfig | None = None) -> list[RawRow]:
    """The rows that a guess goes by: so many as are enough, and as fit into memory."""
    found: list[RawRow] = []
    characters = 0
    for raw in islice(read_source(path, config), ROWS):
        found.append(raw)
        characters += sum(len(value) for value in (raw.fields or {}).values() if isinstance(value, str))
        if characters > ROWS_CHARACTERS:
            break
    return found


def _cure(layout: Layout, raws: Sequence[RawRow]) -> str:
    if layout.format == "csv" and raws:
        return (
            "the file's first line has to name its columns: remove what stands before it, or set data.sources[].columns"
        )
    return "give a file with one JSON object a line, or a CSV"


def _conversation(columns: Sequence[Column]) -> Guess | None:
    """Rows that are conversations."""
    found = [column for column in columns if column.turns > 0.5]
    wanted = [column for column in found if not column.parts & BESIDES] or found
    if not wanted:
        return None
    ranked = ranked_columns(
        wanted, lambda column: 1 + 5 * ("chosen" in column.parts) + 3 * ("messages" in column.parts)
    )
    first = ranked[0]
    asked = any(
        not column.turns and column.parts & ASKED and column.words > 1.5 and "chosen" in first.parts
        for column in columns
    )
    why = f"turns of a conversation in {first.turns:.0%} of the first rows{runner_up(ranked)}"
    if asked:  # a prompt beside lists of messages that hold the answers
        return None
    fields = (FieldGuess(role="messages", column=first.name, explanation=why),)
    line = f"task chat: {first.name} holds conversations; the last turn of the assistant is the answer"
    return Guess(task="chat", fields=fields, explanations=(line,))


def _given(path: Path, columns: Sequence[Column], text: str | None, label: str | None) -> dict[str, Column]:
    """The columns that the user names, by role; InputError where the file has none of that name."""
    known, given = {column.name: column for column in columns}, {"text": text, "label": label}
    for role, name in given.items():
        if name is not None and name not in known:
            seen = ", ".join(list(known)[:SHOWN])
            raise InputError(f"{path} has no column {name!r}, but {seen}", cure=f"give --{role} one of them")
    return {role: known[name] for role, name in given.items() if name is not None}


def _single(
    path: Path, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], given: Mapping[str, Column]
) -> Guess:
    """Rows with a text and a label or an answer."""
    most = max((column.filled for column in columns), default=1)
    others = [column for column in columns if column is not given.get("label")]
    texts = ranked_columns(others, lambda column: _text_score(column, most))
    texts = [given["text"], *(one for one in texts if one is not given["text"])] if "text" in given else texts
    if not texts:
        listed = _question_list(rows)
        if listed:
            why = "the questions of each row, asked in order"
            turns = (FieldGuess(role="messages", column=listed, explanation=why),)
            line = f"task chat: {listed} holds questions without answers"
            return Guess(task="chat", fields=turns, explanations=(line,), answered=False)
        seen = ", ".join(f"{name} ({kind_of_column(rows, name)})" for name in names_in(rows)[:SHOWN])
        raise InputError(
            f"{path}: no column looks like text; fields seen: {seen}",
            cure="make a file with a text column, or write flyball.yaml by hand and set data.sources[].fields.text",
        )
    text = texts[0]
    answers = ranked_columns(columns, lambda column: _answer_score(column, text))
    labels = ranked_columns(columns, lambda column: _label_score(column, text, len(rows)))
    labels = labels or ([] if answers else ranked_columns(columns, lambda column: _flag_score(column, text, len(rows))))
    if "label" in given:
        few = given["label"].length <= LABEL_LENGTH and given["label"].distinct <= MOST_LABELS
        is_label = few and (given["label"].repeats >= 2 or given["label"].distinct <= 2)
        labels, answers = ([given["label"]], []) if is_label else ([], [given["label"]])
    free = bool(answers) and bool(text.parts & ASKED) and answers[0].repeats < 2
    why = f"free text, {text.words:.0f} words on average{runner_up(texts)}"
    asked = text.name if "text" in given else templated(text, columns, answers)
    fields = [FieldGuess(role="text", column=asked, explanation=why)]
    if labels and not free:
        label = labels[0]
        if "text" not in given and asked == text.name and (both := pair_of(text, columns, {label.name})):
            fields = [FieldGuess(role="text", column=both, explanation=f"two texts that a label compares; {why}")]
        why = f"{label.distinct} values in {label.filled} rows{runner_up(labels)}"
        line = f"task classification: {label.name} repeats {label.distinct} short values in the first {len(rows)} rows"
        fields.append(FieldGuess(role="label", column=label.name, explanation=why))
        return Guess(task="classification", fields=tuple(fields), explanations=(line,))
    if answers:
        answer = answers[0]
        beside = f"; not {labels[0].name}, which repeats {labels[0].distinct} values" if labels else runner_up(answers)
        why = f"free answers, {answer.words:.0f} words on average{beside}"
        line = f"task chat: {answer.name} holds free answers ({answer.words:.0f} words on average)"
        fields.append(FieldGuess(role="label", column=answer.name, explanation=why))
        return Guess(task="chat", fields=tuple(fields), explanations=(line,))
    line = "task chat: no column repeats a small set of values, and none looks like an answer"
    if several := [name for name in names_in(rows) if name_words(name) & LISTED and has_several(rows, name)]:
        line += f"; {several[0]} holds several values in a row, and a label is one"
    return Guess(task="chat", fields=tuple(fields), explanations=(line,), answered=False)


def _text_score(column: Column, most: int) -> float:
    if not column.texts or column.words < 1.5 or column.plain > 0.5 or column.turns > 0.5:
        return 0.0
    wanted = name_weight(column, TEXT) or (0.3 if name_weight(column, ANSWER) or column.parts & BESIDES else 1.0)
    if column.name.casefold() == "text":
        wanted = 6.0
    if column.parts & IDENTIFIER or "." in column.name:
        wanted *= 0.3
    return wanted * min(column.words, 20) * column.distinct / most


def _label_score(column: Column, text: Column, rows: int) -> float:
    if column.name == text.name or column.filled < rows / 2 or column.length > LABEL_LENGTH:
        return 0.0
    if not 2 <= column.distinct <= MOST_LABELS or column.repeats < 3 or column.largest > 0.995:
        return 0.0
    named = name_weight(column, LABEL)
    about = bool(column.parts & ATTRIBUTE) and column.parts.isdisjoint(("type", "rating", "score"))
    if named and not (about or column.parts & (IDENTIFIER - {"name", "code"})):
        return named
    others = about or column.parts & IDENTIFIER or column.parts & GROUP or column.parts & SIDES or column.plain > 0.5
    return 0.0 if others or name_weight(column, PERSON) or not column.texts else 1.0 / (1 + column.distinct / 100)


def _flag_score(column: Column, text: Column, rows: int) -> float:
    """Two values that say yes or no, where nothing else can be the label: `is_spam`, or any of true and false."""
    said = {value.casefold() for value in column.values}
    flag = said == {"true", "false"} or (column.parts & {"is", "has"} and said in ({"0", "1"}, {"yes", "no"}))
    if not flag or column.name == text.name or column.filled < rows / 2 or column.parts & (ATTRIBUTE | SIDES):
        return 0.0
    return 1.0 + (1.0 if "is" in column.parts else 0.0)


def _answer_score(column: Column, text: Column) -> float:
    if column.name == text.name or not (column.texts or column.turns) or column.parts & BESIDES:
        return 0.0
    if column.plain > 0.9 and column.repeats > 3:
        return 0.0
    return name_weight(column, ANSWER) * (2.0 if column.turns > 0.5 else min(max(column.words, 0.5), 20))


def _question_list(rows: Sequence[Mapping[str, Any]]) -> str:
    """A column of lists of texts, such as the turns of a benchmark; empty where there is none."""
    for name in names_in(rows):
        values = [row.get(name) for row in rows[:100]]
        lists = [v for v in values if isinstance(v, list) and v and all(isinstance(part, str) for part in v)]
        if len(lists) == len(values) and sum(word_count(v[0]) for v in lists) >= 3 * len(lists):
            return name
    return ""


def _rejected(columns: Sequence[Column], found: Guess) -> tuple[FieldGuess, ...]:
    """The answer that was not preferred, beside one whose name says that it was."""
    preferred = any("chosen" in name_words(field.column) for field in found.fields)
    column = next((column for column in columns if "rejected" in column.parts), None)
    if column is None or not preferred:
        return ()
    return (FieldGuess(role="rejected", column=column.name, explanation="kept for train.objective: dpo"),)


def _sides(columns: Sequence[Column], taken: set[str]) -> FieldGuess | None:
    """The data set's own split, where it has two sides at least."""
    for column in columns:
        sides = {side_named(value) for value in column.values}
        named = column.name not in taken and column.parts & SIDES
        if named and "" not in sides and {"train", "test"} <= sides:
            why = f"the data set's own sides: {', '.join(sorted(filter(None, sides)))}"
            return FieldGuess(role="split", column=column.name, explanation=why)
    return None


def _identifier(columns: Sequence[Column], taken: set[str], rows: int) -> FieldGuess | None:
    for column in columns:
        named = column.parts & {"id", "uuid", "guid", "key", "uid"}
        if column.name not in taken and named and column.distinct == column.filled == rows:
            return FieldGuess(role="id", column=column.name, explanation="every row has another value")
    return None


def _split_line(path: Path, people: Sequence[FieldGuess], sides: FieldGuess | None) -> str:
    sibling = _declared_test(path)
    if sides:
        return f"splits: those of the data set's own column {sides.column}; no row moves"
    if sibling:
        return (
            f"splits: {sibling.name} lies beside it: add it with `split: test`; this one gets `split: train`, of which"
            " 5 % are validation"
        )
    keys = [guessed.column for guessed in people if guessed.role == "group"] or [p.column for p in people]
    by = f"all rows of one {keys[0]} stay on one side" if keys else "by the text, as no column names a person or group"
    return f"splits: 15 % test and 5 % validation by keyed hash; {by}"


def _side_warning(columns: Sequence[Column], people: Sequence[FieldGuess]) -> tuple[str, ...]:
    """Whether so few groups decide the sides that one of them may stay empty."""
    keys = [guessed.column for guessed in people if guessed.role == "group"] or [p.column for p in people]
    column = next((column for column in columns if keys and column.name == keys[0]), None)
    if column is None or (column.distinct >= 20 and column.largest <= 0.2):
        return ()
    return (
        f"check: {column.name} has only {column.distinct} values, the largest in {column.largest:.0%} of the rows; the"
        " test side may stay empty: take another column as group, or null",
    )


def _declared_test(path: Path) -> Path | None:
    """A test file beside a training file, such as test.jsonl beside train.jsonl.gz."""
    stem = path.name.split(".")[0]
    if "train" not in name_words(stem):
        return None
    wanted = re.sub("train(?:ing)?", "test", stem, flags=re.IGNORECASE)
    beside = sorted(other for other in path.parent.iterdir() if other.is_file() and other.name.split(".")[0] == wanted)
    return beside[0] if beside else None
