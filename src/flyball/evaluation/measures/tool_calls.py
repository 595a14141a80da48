"""Calls of tools: the right functions with the right arguments, in any order, and none where none is right. Pure.

Arguments are compared as JSON: 1 equals 1.0, true does not equal 1. For rows with lists of values that are right, texts
are compared as the Berkeley Function Calling Leaderboard does, without case, white space and some punctuation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from flyball.evaluation.case_answers import Answer
from flyball.evaluation.item_scores import ItemScore
from flyball.evaluation.measure_names import LATENCIES
from flyball.evaluation.measures.family import Family, Known, scored
from flyball.evaluation.measures.json_schema import is_valid
from flyball.evaluation.suites.suite import Item, Suite
from flyball.inference.tool_calls import Call, calls_of

UNHEARD: Final = str.maketrans("", "", " ,./-_*^")
"""What the leaderboard leaves out of texts before it compares them."""


def score(suite: Suite, answers: Mapping[str, Answer], _known: Known) -> Iterator[ItemScore]:
    """Scores of each case; a case without an answer scores 0 and keeps the reason."""
    for item in suite.items:
        answer = answers[item.key]
        for name, value in measured(item, None if answer.error else calls_of(answer.text)):
            yield scored(suite, item, name, value, error=answer.error)
        yield scored(suite, item, "latency_ms", answer.total_ms, error=answer.error)


def measured(item: Item, found: Sequence[Call] | None) -> Iterator[tuple[str, float]]:
    """(measure, score); None: no answer."""
    wanted = cast(list[dict[str, Any]], item.data["calls"])
    calls = found or ()
    if not wanted:
        yield "calls_right", float(found is not None and not calls)
        yield "no_call", float(found is not None and not calls)
        return
    right = len(calls) == len(wanted) and all_matched(wanted, calls)
    yield "calls_right", float(right)
    names = Counter(call.name for call in calls)
    yield "functions_right", float(names == Counter(one["name"] for one in wanted))
    yield "arguments_right", 1.0 if right else share_of_arguments(wanted, calls)
    yield "valid_calls", float(bool(calls) and all(fits(call, item) for call in calls))


def all_matched(wanted: Sequence[Mapping[str, Any]], calls: Sequence[Call]) -> bool:
    """Whether each expected call has a call of its own that is right (Kuhn's matching)."""
    taken: dict[int, int] = {}

    def assign(at: int, seen: set[int]) -> bool:
        for other, call in enumerate(calls):
            if other not in seen and is_right(wanted[at], call):
                seen.add(other)
                if other not in taken or assign(taken[other], seen):
                    taken[other] = at
                    return True
        return False

    return all(assign(at, set()) for at in range(len(wanted)))


def is_right(wanted: Mapping[str, Any], call: Call) -> bool:
    """The function, every argument that is needed, and none besides."""
    arguments = call.arguments
    return (
        call.name == wanted["name"]
        and arguments is not None
        and set(arguments) <= set(wanted["arguments"])
        and all(argument_right(wanted, name, arguments) for name in wanted["arguments"])
    )


def argument_right(wanted: Mapping[str, Any], name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether an argument has one of the values that are right, or is rightly left out."""
    allowed = wanted["arguments"][name]
    if name not in arguments:
        return bool(wanted["loose"]) and "" in allowed
    return any(same(arguments[name], value, loose=wanted["loose"]) for value in allowed)


def same(one: Any, other: Any, *, loose: bool) -> bool:
    """Whether two JSON values are equal."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, str) and isinstance(other, str):
        return heard(one) == heard(other) if loose else one == other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b, loose=loose) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key], loose=loose) for key in one)
    return bool(one == other)


def heard(text: str) -> str:
    """A text as the leaderboard compares it."""
    return text.translate(UNHEARD).casefold().replace("'", '"')


def share_of_arguments(wanted: Sequence[Mapping[str, Any]], calls: Sequence[Call]) -> float:
    """Right arguments among those expected or given; each expected call takes the free call that suits it best."""
    free, right, total = list(calls), 0, 0
    for one in wanted:
        suits = [call for call in free if call.name == one["name"] and call.arguments is not None]
        counted = [sum(argument_right(one, name, call.arguments or {}) for name in one["arguments"]) for call in suits]
        total += max(1, len(one["arguments"]))
        if not suits:
            continue
        best = max(range(len(suits)), key=counted.__getitem__)
        free.remove(suits[best])
        right += counted[best] if one["arguments"] else 1
        total += len(set(suits[best].arguments or {}) - set(one["arguments"]))
    return right / (total + len(free))


def fits(call: Call, item: Item) -> bool:
    """Whether a call is of a tool that was given, with arguments of its schema."""
    tools = cast(list[dict[str, Any]], item.request["tools"])
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    return call.name in schemas and call.arguments is not None and is_valid(call.arguments, schemas[call.name])


FAMILY = Family(
    kind="tool_calls",
    score=score,
    measures=("calls_right", "functions_right", "arguments_right", "valid_calls", "no_call", *LATENCIES),
    graded=("arguments_right",),
)
