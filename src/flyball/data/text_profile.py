"""What the training texts look like, so that monitoring can tell when traffic looks different. I/O: profile.json.

The words themselves are not kept: only keyed hashes of those that several rows share, so that no name survives in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from flyball.data.rows import SPLITS, Row, read_rows
from flyball.errors import CorruptionError, NotFoundError
from flyball.inference.words import words_of
from flyball.records.canonical import canonical_json
from flyball.records.identity import keyed_hash

FILE = "profile.json"
MIN_ROWS = 2
HASH_DIGITS = 16
"""64 bits of each word's hash: at 100,000 words a foreign word looks known once in 10^14 times."""


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """profile.json as it stands on disk."""

    rows: int
    rows_by_split: dict[str, int]
    label_shares: dict[str, float]
    new_word_share: float
    new_word_rows: int
    mean_words: float
    words: tuple[str, ...]


class Profile:
    """The training data's words and shares; `new_word_share` is what held-out rows of the same kind show."""

    def __init__(self, stored: Stored, key: bytes) -> None:
        self.stored = stored
        self.n = stored.rows
        self.label_shares: Mapping[str, float] = stored.label_shares
        self.new_word_share = stored.new_word_share
        self.new_word_rows = stored.new_word_rows
        self._words = frozenset(stored.words)
        self._key = key

    def has_new_word(self, text: str) -> bool:
        """Whether `text` holds a word that fewer than two training rows have. Digits count as no words."""
        return any(word_hash(self._key, word) not in self._words for word in profile_words(text))


def profile_words(text: str) -> set[str]:
    """The words of a text that a vocabulary is made of: letters only, placeholders included."""
    return {word for word in words_of(text) if not any(character.isdigit() for character in word)}


def word_hash(key: bytes, word: str) -> str:
    """The name of a word in a profile, useless without the project key."""
    return keyed_hash(key, "word", word)[:HASH_DIGITS]


def make_profile(folder: Path, key: bytes) -> Profile:
    """The profile of a dataset folder's rows, written to its profile.json."""
    known = _shared_words(read_rows(folder, "train"))
    labels: defaultdict[str, int] = defaultdict(int)
    counts = dict.fromkeys(SPLITS, 0)
    words = held_out = new = 0
    for split in SPLITS:
        for row in read_rows(folder, split):
            counts[split] += 1
            found = profile_words(row.text)
            if split == "train":
                words += len(words_of(row.text))
                labels[row.label or ""] += 1
            else:
                held_out += 1
                new += not found <= known
    train = max(1, counts["train"])
    stored = Stored(
        rows=counts["train"],
        rows_by_split=counts,
        label_shares={label: rows / train for label, rows in sorted(labels.items())} if len(labels) <= 1000 else {},
        new_word_share=new / held_out if held_out else 0.0,
        new_word_rows=held_out,
        mean_words=words / train,
        words=tuple(sorted(word_hash(key, word) for word in known)),
    )
    (folder / FILE).write_bytes(canonical_json(stored) + b"\n")
    return Profile(stored, key)


def _shared_words(rows: Iterable[Row]) -> set[str]:
    """Words that rows of at least two people (or two rows about nobody) have."""
    first: dict[str, str] = {}
    shared: set[str] = set()
    for row in rows:
        owner = row.subject or row.row_id
        for word in profile_words(row.text):
            if first.setdefault(word, owner) != owner:
                shared.add(word)
    return shared


def read_profile(path: Path, key: bytes) -> Profile:
    """The profile in a profile.json, made with the same project key."""
    try:
        return Profile(msgspec.json.decode(path.read_bytes(), type=Stored), key)
    except FileNotFoundError as error:
        raise NotFoundError(f"no data profile {path}", cure="run `flyball data`") from error
    except msgspec.MsgspecError as error:
        raise CorruptionError(f"{path} is not a data profile: {error}", cure="run `flyball data` again") from error
