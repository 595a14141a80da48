"""Many literal tokens as one pattern that looks at each character once: alternatives share their beginnings. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

NUMBERS = "[0-9]{1,12}+"
Trie = dict[str, "Trie"]


def pattern_of(tokens: Iterable[str], *, number: str) -> str:
    """A pattern for the first character of each token, where the rest follows; `number` within one is any number.

    A token that another is the beginning of is left out: where the shorter one is not, it is not either.
    """
    root: Trie = {}
    for token in sorted(tokens, key=len):
        _add(root, _atoms(token, number))
    return "|".join(f"{head}(?={_rest(below)})" for head, below in root.items()) or "(?!)"


def _atoms(token: str, number: str) -> list[str]:
    atoms: list[str] = []
    for index, part in enumerate(token.split(number)):
        atoms += [NUMBERS] * (index > 0)
        atoms += map(re.escape, part)
    return atoms


def _add(root: Trie, atoms: list[str]) -> None:
    """The atoms below `root`; an empty level ends a token."""
    node = root
    for position, atom in enumerate(atoms):
        below = node.get(atom)
        if below is None:
            for rest in atoms[position:]:
                node[rest] = {}
                node = node[rest]
            return
        if not below:
            return  # a shorter token ends here
        node = below


def _rest(node: Trie) -> str:
    """The pattern of what may follow."""
    steps: list[str] = []
    while len(node) == 1:
        ((atom, node),) = node.items()
        steps.append(atom)
    if node:
        steps.append(f"(?:{'|'.join(atom + _rest(below) for atom, below in node.items())})")
    return "".join(steps)
