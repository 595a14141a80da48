"""Inputs of more than one column, for `flyball init --from`: an instruction and its input, a pair of texts. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.data.column_profiles import Column, name_words

PAIRS = (
    *(("1", "2"), ("a", "b"), ("left", "right"), ("first", "second"), ("premise", "hypothesis")),
    *(("question", "passage"), ("question", "context"), ("question", "sentence"), ("query", "passage")),
)
"""Words by which the names of two texts differ that a label is about together."""
OTHER_INPUT = ("input", "context", "passage", "document")


def templated(text: Column, columns: Sequence[Column], answers: Sequence[Column]) -> str:
    """The text, with a second column of input where there is one: `instruction` and `input`."""
    if not text.parts & {"instruction", "question", "prompt"} or not answers:
        return text.name
    for word in OTHER_INPUT:
        for column in columns:
            named = name_words(column.name.rpartition(".")[2]) == {word}
            if named and column.name != text.name and column.texts and column.filled:
                return f"{{{text.name}}}\n\n{{{column.name}}}"
    return text.name


def pair_of(text: Column, columns: Sequence[Column], taken: set[str]) -> str:
    """The text and the one that it is a pair with, such as `sentence1` and `sentence2`; empty where there is none."""
    for first, second in (*PAIRS, *((second, first) for first, second in PAIRS)):
        if first not in text.parts:
            continue
        for other in columns:
            wanted = text.parts - {first} | {second}
            if other.parts != wanted or other.name in taken or not other.texts or other.turns or other.plain > 0.5:
                continue
            names = [text.name, other.name] if (first, second) in PAIRS else [other.name, text.name]
            whole = [name.partition(".")[0] for name in names]
            if "." in names[0] and whole[0] != whole[1] and not any(name.split(".")[0] in whole for name in taken):
                names = whole  # the same column of two objects: all of both
            return "\n\n".join(f"{{{name}}}" for name in names)
    return ""
