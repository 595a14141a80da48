"""Texts that make a backtracking pattern slow, made from the pattern itself; and how time grows with their length."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import flyball

SIZE = 4_096
QUICK_S = 0.002
"""Half a microsecond a character: a quadratic pattern is far above it at this size, most linear ones are below."""

CATEGORIES = {
    op.CATEGORY_DIGIT: "7",
    op.CATEGORY_SPACE: "\t",
    op.CATEGORY_WORD: "a",
    op.CATEGORY_NOT_DIGIT: "a",
    op.CATEGORY_NOT_SPACE: "a",
    op.CATEGORY_NOT_WORD: "-",
}


def patterns_of(*packages: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Every compiled pattern of text that a module of these packages holds, in whatever it is wrapped."""
    seen: set[tuple[str, int]] = set()
    for package in packages:
        for module in modules_of(package):
            for name, value in sorted(vars(module).items()):
                for number, found in enumerate(held(value, 0)):
                    if isinstance(found.pattern, str) and (found.pattern, found.flags) not in seen:
                        seen.add((found.pattern, found.flags))
                        yield f"{module.__name__.removeprefix('flyball.')}.{name}[{number}]", found


def modules_of(package: str) -> Iterator[ModuleType]:
    """The package and everything in it."""
    root = importlib.import_module(f"{flyball.__name__}.{package}")
    yield root
    for found in pkgutil.walk_packages(getattr(root, "__path__", []), f"{root.__name__}."):
        yield importlib.import_module(found.name)


def held(value: object, depth: int) -> Iterator[re.Pattern[str]]:
    """The patterns in a value: itself, in containers, in the fields of our dataclasses."""
    if isinstance(value, re.Pattern):
        yield value
    elif depth < 4 and isinstance(value, dict):
        for item in value.values():
            yield from held(item, depth + 1)
    elif depth < 4 and isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from held(item, depth + 1)
    elif depth < 4 and dataclasses.is_dataclass(value) and not isinstance(value, type):
        for item in dataclasses.fields(value):
            yield from held(getattr(value, item.name, None), depth + 1)


def attacks(pattern: re.Pattern[str]) -> list[str]:
    """Beginnings of what the pattern matches repeated, and what it repeats pumped after each beginning."""
    tree = parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
    pumps: list[str] = ["\n", " ", "\t"]
    begun: list[str] = []
    for start in grow(list(tree), "", pumps):
        if start and start not in begun:
            begun.append(start)
    begun = begun[:40]
    pumps = list(dict.fromkeys(pump for pump in pumps if pump))[:12]
    repeated = [*begun, *(start + pump for start in begun[:12] for pump in pumps[:6])]
    texts = [(piece * (SIZE // len(piece) + 1))[:SIZE] for piece in dict.fromkeys(repeated)]
    for start in dict.fromkeys(["", *begun]):
        texts += [start + (pump * (SIZE // len(pump) + 1))[: SIZE - len(start)] for pump in pumps]
    return [text + end for text in texts for end in ("", "\x01")]


def grow(items: list[Any], before: str, pumps: list[str]) -> Iterator[str]:
    """Every beginning of one example of a sequence, `before` first; bodies of repetitions are added to `pumps`."""
    text = before
    for kind, argument in items:
        if kind is op.LITERAL:
            text += chr(argument)
        elif kind in (op.NOT_LITERAL, op.ANY):
            text += "a" if argument != ord("a") else "b"
        elif kind is op.IN:
            text += member(argument)
            pumps += [character for character in members(argument) if character not in pumps][:4]
        elif kind is op.BRANCH:
            ends = []
            for branch in argument[1]:
                grown = [*grow(list(branch), text, pumps)] or [text]
                yield from grown
                ends.append(grown[-1])
            text = ends[0]
        elif kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            least, _, body = argument
            grown = [*grow(list(body), "", pumps)] or [""]
            pumps.append(grown[-1])
            yield text + grown[-1] * max(1, least)
            text += grown[-1] * max(1, least)
        elif kind is op.SUBPATTERN:
            grown = [*grow(list(argument[3]), text, pumps)] or [text]
            yield from grown
            text = grown[-1]
        elif kind is op.ATOMIC_GROUP:
            grown = [*grow(list(argument), text, pumps)] or [text]
            yield from grown
            text = grown[-1]
        yield text


def members(items: list[Any]) -> list[str]:
    """A few characters of a set."""
    if items and items[0][0] is op.NEGATE:
        return ["a", "7", " ", "-"]
    found = []
    for kind, argument in items:
        if kind is op.LITERAL:
            found.append(chr(argument))
        elif kind is op.RANGE:
            found.append(chr(argument[0]))
        elif kind is op.CATEGORY:
            found.append(CATEGORIES.get(argument, "a"))
    return found


def member(items: list[Any]) -> str:
    """One character of a set."""
    return (members(items) or ["a"])[0]


def grows_too_fast(function: Callable[[str], object], text: str) -> str | None:
    """Why `function` is no better than quadratic on beginnings of `text`; None when its time grows with the length."""
    if seconds(function, text) < QUICK_S:
        return None
    for _ in range(4):  # what is measured while others use the processor is measured again
        short = text[: len(text) // 8] + text[-4:]
        times = [min(seconds(function, one) for _ in range(3)) for one in (short, text)]
        if times[1] < QUICK_S or times[1] <= 8 * 2 * times[0] + QUICK_S / 2:
            return None
    return f"{text[:60]!r}… of {len(text) // 8} and {len(text)} characters takes {times[0]:.4f} and {times[1]:.4f} s"


def seconds(function: Callable[[str], object], text: str) -> float:
    """Processor time of one call."""
    began = time.process_time()
    function(text)
    return time.process_time() - began
